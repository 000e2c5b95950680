"""Envelopes: the encoding of the specification, keys, and that no byte can differ."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mu.errors import UserError
from mu.evidence.canonical import canonical
from mu.evidence.dsse import countersign, pae, sign, verified
from mu.evidence.signing import (
    key_id,
    load_private_key,
    load_public_key,
    new_key,
    public_pem,
    save_key,
)
from tests.evidence.made import KEY, OTHER_KEY

PAYLOAD = b'{"a": "\xc3\xbc"}'


def test_the_example_of_the_specification() -> None:
    """protocol.md of DSSE: the encoding, and the signature that its reference key makes."""
    message = pae("http://example.com/HelloWorld", b"hello world")
    assert message == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    secret = 97358161215184420915383655311931858321456579547487070936769975997791359926199
    text = (
        "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
    )
    raw = base64.b64decode(text)
    der = encode_dss_signature(*(int.from_bytes(one, "big") for one in (raw[:32], raw[32:])))
    public = ec.derive_private_key(secret, ec.SECP256R1()).public_key()
    public.verify(der, message, ec.ECDSA(hashes.SHA256()))


def test_lengths_are_those_of_bytes() -> None:
    assert pae("ü", "ä€".encode()) == "DSSEv1 2 ü 5 ä€".encode()


def test_what_was_signed_and_countersigned_is_verified_with_each_key() -> None:
    own, other = KEY.public_key(), OTHER_KEY.public_key()
    once = sign(PAYLOAD, KEY)
    twice = countersign(once, OTHER_KEY)
    assert verified(once) == (PAYLOAD, [key_id(own)])
    for keys in ((), (own,), (other,), (other, own)):
        assert verified(twice, keys) == (PAYLOAD, [key_id(own), key_id(other)])
    with pytest.raises(ValueError, match=f"not signed by key {key_id(other)}"):
        verified(once, [other])
    with pytest.raises(ValueError, match="by this key already"):
        countersign(twice, KEY)


def test_no_byte_of_an_envelope_can_differ() -> None:
    envelope = countersign(sign(PAYLOAD, KEY), OTHER_KEY)
    for place in range(len(envelope)):
        for bits in (1, 0x20, 0x80):  # 0x20: small letters and capital ones
            changed = bytearray(envelope)
            changed[place] ^= bits
            with pytest.raises(ValueError):  # noqa: PT011 - in many words
                verified(bytes(changed))
    for changed in (envelope[:-1], envelope + b"\n", b"", envelope.replace(b"\n", b"\r\n")):
        with pytest.raises(ValueError):  # noqa: PT011
            verified(changed)


def test_what_another_program_could_have_written() -> None:
    document = json.loads(sign(PAYLOAD, KEY))
    (signature,) = document["signatures"]
    wrong = {
        "payloadType is": {**document, "payloadType": "text/plain"},
        "has not exactly": {**document, "more": 1},
        "is no list": {**document, "signatures": []},
        "not exactly keyid": {**document, "signatures": [{**signature, "more": ""}]},
        "signed twice": {**document, "signatures": [signature, signature]},
        "keyid of signature 1": {
            **document,
            "signatures": [{**signature, "keyid": key_id(OTHER_KEY.public_key())}],
        },
        "payload is no base64": {**document, "payload": 3},
        "signature 1 does not hold": {**document, "payload": "YWI="},
    }
    for words, one in wrong.items():
        with pytest.raises(ValueError, match=words):
            verified(canonical(one))


def test_a_saved_key_is_read_again_and_only_its_owner_can(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    public = save_key(path, KEY)
    assert public == tmp_path / "key.pub.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_private_key(path).private_numbers() == KEY.private_numbers()
    assert load_public_key(public) == KEY.public_key()
    assert save_key(tmp_path / "auditor", OTHER_KEY).name == "auditor.pub.pem"
    before = path.read_bytes()
    for there in (path, public):
        with pytest.raises(UserError, match=f"{there} is there already"):
            save_key(path, OTHER_KEY)
        path.rename(tmp_path / "old.pem") if there == path else None
    assert (tmp_path / "old.pem").read_bytes() == before
    assert not path.exists()
    with pytest.raises(UserError, match="cannot be written"):
        save_key(tmp_path / "nowhere" / "key.pem", KEY)


def private_pem(key, password: bytes | None = None) -> bytes:
    how = serialization.BestAvailableEncryption(password) if password else None
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        how or serialization.NoEncryption(),
    )


def test_what_is_no_key_is_said_in_a_line(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP384R1())
    large = rsa.generate_private_key(65537, 2048)
    private = {
        "is no private key in PEM": b"hello",
        "is encrypted": private_pem(new_key(), b"secret"),
        "is a public key": public_pem(KEY.public_key()),
        "is a key of secp384r1": private_pem(other),
        "is a key of RSA": private_pem(large),
    }
    public = {
        "is no public key in PEM": b"hello",
        "is a private key": private_pem(KEY),
        "is a key of secp384r1": public_pem(other.public_key()),
        "is a key of RSA": large.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    }
    path = tmp_path / "key.pem"
    for load, files, remedy in (
        (load_private_key, private, "mu keygen"),
        (load_public_key, public, "give the public key of who signed"),
    ):
        for words, content in files.items():
            path.write_bytes(content)
            with pytest.raises(UserError, match=f"{path} {words}.*; "):
                load(path)
        with pytest.raises(UserError, match=f"there is no key .*{remedy}"):
            load(tmp_path / "missing.pem")
        with pytest.raises(UserError, match="cannot be read"):
            load(tmp_path)
