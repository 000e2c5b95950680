"""A signed envelope around bytes (DSSE 1.0): who signed them, and that they were not changed.

Each signature carries the key that it was made by, beside the key ID, so that all of them can be
checked by whoever has the envelope alone. Whose a key is, an envelope cannot say.

https://github.com/secure-systems-lab/dsse
"""

from __future__ import annotations

from collections.abc import Sequence

from mu.evidence.canonical import canonical, decode_base64, encode_base64, read_canonical
from mu.evidence.signing import PrivateKey, PublicKey, check_signature, key_id, sign_message

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MOST_SIGNATURES = 64


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, key: PrivateKey) -> bytes:
    """An envelope around a payload, signed by one key."""
    return _envelope(payload, [sign_message(pae(PAYLOAD_TYPE, payload), key)])


def countersign(envelope: bytes, key: PrivateKey) -> bytes:
    """The envelope with a further signature; a ValueError if it does not hold, or has it already.

    The payload and the signatures that are there stay the same.
    """
    payload, signers = verified(envelope)
    own = key_id(key.public_key())
    if own in signers:
        raise ValueError(f"it is signed by this key already ({own})")
    signatures = read_canonical(envelope)["signatures"]
    return _envelope(payload, [*signatures, sign_message(pae(PAYLOAD_TYPE, payload), key)])


def verified(envelope: bytes, keys: Sequence[PublicKey] = ()) -> tuple[bytes, list[str]]:
    """The payload, and the IDs of all keys that signed it, in their order.

    A ValueError if the envelope is not exactly as :func:`sign` and :func:`countersign` write it, if
    one of its signatures does not hold, or if one of the ``keys`` has not signed. Without ``keys``
    the result says by which keys it is signed, and not whose they are.
    """
    document = read_canonical(envelope)
    if not isinstance(document, dict) or set(document) != {"payload", "payloadType", "signatures"}:
        raise ValueError("it has not exactly payload, payloadType and signatures")
    if document["payloadType"] != PAYLOAD_TYPE:
        raise ValueError(f"payloadType is {document['payloadType']!r}, not {PAYLOAD_TYPE}")
    payload = decode_base64(document["payload"], "payload")
    signatures = document["signatures"]
    if not isinstance(signatures, list) or not 0 < len(signatures) <= MOST_SIGNATURES:
        raise ValueError(f"signatures is no list of 1 to {MOST_SIGNATURES}")
    message = pae(PAYLOAD_TYPE, payload)
    signers = [
        check_signature(one, message, f"signature {number}")
        for number, one in enumerate(signatures, 1)
    ]
    if len({*signers}) < len(signers):
        raise ValueError("one key signed twice")
    for one in map(key_id, keys):
        if one not in signers:
            raise ValueError(f"it is not signed by key {one}, but by {' and '.join(signers)}")
    return payload, signers


def _envelope(payload: bytes, signatures: list[dict[str, str]]) -> bytes:
    return canonical(
        {
            "payload": encode_base64(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": signatures,
        }
    )
