"""Keys of ECDSA P-256, as files, and signatures by them."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mu.errors import UserError
from mu.evidence.canonical import decode_base64, encode_base64
from mu.readers.paths import checked_path

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey
LARGEST = 2**16  # bytes of a key's file
_ALGORITHM = ec.ECDSA(hashes.SHA256())
_NEW = "make one with: mu keygen key.pem"
_GIVEN = "give the public key of who signed"


def new_key() -> PrivateKey:
    """A key that nobody else has."""
    return ec.generate_private_key(ec.SECP256R1())


def public_name(path: Path) -> Path:
    """Where the public key of a private one lies: ``key.pem`` has ``key.pub.pem``."""
    return path.with_name(f"{path.name.removesuffix('.pem')}.pub.pem")


def save_key(path: Path, key: PrivateKey) -> Path:
    """Write a private key that only its owner can read, and its public one; gives the latter.

    UserError if one of the files is there already.
    """
    path = checked_path("key", path)
    public = public_name(path)
    for one in (path, public):
        if one.exists() or one.is_symlink():
            raise UserError(f"{one} is there already and may be somebody's key; give another name")
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        with public.open("xb") as file:
            file.write(public_pem(key.public_key()))
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise UserError(f"{path} cannot be written ({error.strerror}); give another") from error
    return public


def public_pem(key: PublicKey) -> bytes:
    """The file of a public key."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def load_private_key(path: Path) -> PrivateKey:
    """The private key of a PEM file; UserError if it is something else."""
    content = _content(path)
    if b"PRIVATE KEY" not in content and b"PUBLIC KEY" in content:
        raise UserError(f"{path} is a public key; to sign, give the private one that belongs to it")
    try:
        key = serialization.load_pem_private_key(content, None)
    except TypeError as error:
        plain = f"openssl pkey -in {path} -out plain.pem"
        raise UserError(f"{path} is encrypted; decrypt it first: {plain}") from error
    except Exception as error:
        raise UserError(f"{path} is no private key in PEM; {_NEW}") from error
    _check_curve(path, key)
    assert isinstance(key, PrivateKey)
    return key


def load_public_key(path: Path) -> PublicKey:
    """The public key of a PEM file; UserError if it is something else."""
    content = _content(path, _GIVEN)
    if b"PRIVATE KEY" in content:
        raise UserError(
            f"{path} is a private key, which nobody but its owner should have; to verify, give "
            f"the public one that belongs to it, {public_name(Path(path).absolute()).name}"
        )
    try:
        return read_public_key(content)
    except ValueError as error:
        raise UserError(f"{path} {error}; {_GIVEN}") from error


def read_public_key(content: bytes) -> PublicKey:
    """The public key that PEM stands for; a ValueError that says why it is none."""
    try:
        key = serialization.load_pem_public_key(content)
    except Exception as error:  # of OpenSSL, in several kinds
        raise ValueError("is no public key in PEM") from error
    if not isinstance(key, PublicKey) or key.curve.name != "secp256r1":
        raise ValueError(f"is a key of {_kind(key)}, not of ECDSA P-256")
    return key


def key_id(public: PublicKey) -> str:
    """The fingerprint of a key: sha256 of its SubjectPublicKeyInfo in DER."""
    return hashlib.sha256(_der(public)).hexdigest()


def sign_message(message: bytes, key: PrivateKey) -> dict[str, str]:
    """A signature, with the key by which it can be checked."""
    public = key.public_key()
    return {
        "keyid": key_id(public),
        "publicKey": encode_base64(_der(public)),
        "sig": encode_base64(key.sign(message, _ALGORITHM)),
    }


def check_signature(signature: Any, message: bytes, name: str) -> str:
    """The key ID of a signature that holds for a message.

    A ValueError if it does not, or if any part of it is not as :func:`sign_message` writes it. The
    key is the signature's own: whose it is remains to be seen.
    """
    if not isinstance(signature, dict) or set(signature) != {"keyid", "publicKey", "sig"}:
        raise ValueError(f"{name} has not exactly keyid, publicKey and sig")
    der = decode_base64(signature["publicKey"], f"publicKey of {name}")
    try:
        key = serialization.load_der_public_key(der)
    except Exception as error:
        raise ValueError(f"publicKey of {name} is no key") from error
    if not isinstance(key, PublicKey) or key.curve.name != "secp256r1" or _der(key) != der:
        raise ValueError(f"publicKey of {name} is no key of ECDSA P-256")
    identity = key_id(key)
    if signature["keyid"] != identity:
        raise ValueError(f"keyid of {name} is not that of its publicKey, {identity}")
    try:
        key.verify(decode_base64(signature["sig"], f"sig of {name}"), message, _ALGORITHM)
    except InvalidSignature as error:
        raise ValueError(f"{name} does not hold: what it signs was changed, or it was") from error
    return identity


def _der(public: PublicKey) -> bytes:
    return public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _content(path: Path, remedy: str = _NEW) -> bytes:
    path = checked_path("key", path)
    try:
        with path.open("rb") as file:
            return file.read(LARGEST)
    except FileNotFoundError as error:
        raise UserError(f"there is no key {path}; {remedy}") from error
    except OSError as error:
        raise UserError(f"key {path} cannot be read ({error.strerror}); give its file") from error


def _check_curve(path: Path, key: object) -> None:
    if not isinstance(key, PrivateKey) or key.curve.name != "secp256r1":
        raise UserError(f"{path} is a key of {_kind(key)}, not of ECDSA P-256; {_NEW}")


def _kind(key: object) -> str:
    """What a key is of, in words: ``secp384r1`` or ``RSA``."""
    if isinstance(key, PrivateKey | PublicKey):
        return key.curve.name
    return type(key).__name__.removesuffix("Key").removesuffix("Private").removesuffix("Public")
