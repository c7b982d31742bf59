"""Who an event is about, so that it can be proven now and forgotten later.

The chained envelope of an event names nobody: a person appears as a pseudonym of the month, and everything
that could identify them lies in a sidecar beside the chain. The envelope holds a salted commitment to the
sidecar, so the sidecar cannot be exchanged, and can be deleted without touching the chain. Destroying a
person's key makes their pseudonyms unlinkable and their sealed details noise; destroying a day's key does so
to its addresses.

Random values (keys, salts, nonces) come from the caller.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta

from camrelay.errors import ChainBroken

KEY_BYTES = 32
SALT_BYTES = 32
NONCE_BYTES = 12

#: What a key is used for is part of what it signs, so no value of one use means anything in another.
_PSEUDONYM = b"camrelay pseudonym\0"
_ADDRESS = b"camrelay address\0"
_SEALING = b"camrelay sidecar\0"
_COMMITMENT = b"\x02"


class IpMode(enum.StrEnum):
    """What the record keeps of an address; each keeps what the one before keeps."""

    NONE = "none"
    PREFIX = "prefix"
    #: And a keyed hash, the same for one address on one day: abuse can be joined until the day's key is gone.
    KEYED = "prefix+keyed"
    #: And the address itself, sealed under the person's key.
    SEALED = "sealed"


class Details(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What may be known of a person in one event, and is readable with their key only."""

    ip: Annotated[str, Meta(max_length=45)] = ""
    user_agent: Annotated[str, Meta(max_length=512)] = ""
    email: Annotated[str, Meta(max_length=320)] = ""
    path: Annotated[str, Meta(max_length=512)] = ""


class Trace(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of an address in the clear: its network, and in hexadecimal its hash by the day's key."""

    network: str = ""
    address_hash: str = ""


class Sidecar(msgspec.Struct, frozen=True):
    """What lies beside an event. `blob` is nonce and ciphertext of the details."""

    trace: Trace
    blob: bytes


def pseudonym(subject_key: bytes, month: str) -> str:
    """The name of a person in the events of a month ("2026-11"): 128 bits in hexadecimal."""
    return _mac(subject_key, _PSEUDONYM + month.encode())


def trace(address: IPv4Address | IPv6Address | None, mode: IpMode, day_key: bytes) -> Trace:
    """What `mode` keeps of an address in the clear."""
    if address is None or mode is IpMode.NONE:
        return Trace()
    bits = 24 if address.version == 4 else 48
    host_bits = address.max_prefixlen - bits
    network = f"{type(address)(int(address) >> host_bits << host_bits)}/{bits}"
    if mode is IpMode.PREFIX:
        return Trace(network)
    return Trace(network, _mac(day_key, _ADDRESS + address.packed))


def details(
    address: IPv4Address | IPv6Address | None,
    mode: IpMode,
    *,
    user_agent: str = "",
    email: str = "",
    path: str = "",
) -> Details:
    """What is to be sealed: the address only where `mode` says so, texts cut to their limits."""
    return Details(
        ip=str(address) if address is not None and mode is IpMode.SEALED else "",
        user_agent=_clip(user_agent, 512),
        email=_clip(email, 320),
        path=_clip(path, 512),
    )


def cipher(subject_key: bytes) -> AESGCM:
    """What seals and opens a person's details; to be kept, as making one takes longer than using it."""
    assert len(subject_key) == KEY_BYTES
    return AESGCM(hmac.digest(subject_key, _SEALING, "sha256"))


class Origin:
    """Details and trace of whoever acts, spelled once for every event that they are of."""

    __slots__ = ("_head", "_tail", "details", "trace")

    def __init__(self, details: Details, trace: Trace) -> None:
        self.trace = trace
        #: As they are sealed, behind a salt.
        self.details = msgspec.json.encode(details)
        self._head = _COMMITMENT + _length(SALT_BYTES + len(self.details))
        self._tail = _part(trace.network) + _part(trace.address_hash)

    def commit(self, plain: bytes, event_id: str) -> bytes:
        """The commitment to salt and details, and to the trace."""
        # Each part behind its length: no two different sidecars are the same bytes. The salt is the plain
        # text's first part, so the network and the hash are hidden by it as well.
        return hashlib.sha256(self._head + plain + _part(event_id) + self._tail).digest()


def seal(origin: Origin, *, event_id: str, cipher: AESGCM, salt: bytes, nonce: bytes) -> tuple[bytes, bytes]:
    """The sealed details of an event, and the commitment to its sidecar that goes into the envelope.

    Args:
        event_id: of the event; a sidecar fits no other.
        cipher: of the person.
        salt: SALT_BYTES of randomness; hides what is committed to from whoever guesses.
        nonce: NONCE_BYTES that were never used with this key.
    """
    assert len(salt) == SALT_BYTES
    assert len(nonce) == NONCE_BYTES
    plain = salt + origin.details
    sealed = cipher.encrypt(nonce, plain, event_id.encode())
    return nonce + sealed, origin.commit(plain, event_id)


def unseal(sidecar: Sidecar, commitment: bytes, *, event_id: str, cipher: AESGCM) -> Details:
    """The details of an event, checked against the commitment in its envelope.

    Raises:
        ChainBroken: another key, another event, or not what was committed to.
    """
    nonce, sealed = sidecar.blob[:NONCE_BYTES], sidecar.blob[NONCE_BYTES:]
    try:
        plain = cipher.decrypt(nonce, sealed, event_id.encode())
    except (InvalidTag, ValueError):
        raise ChainBroken("the details cannot be opened with this key") from None
    known = msgspec.json.decode(plain[SALT_BYTES:], type=Details)
    if not hmac.compare_digest(Origin(known, sidecar.trace).commit(plain, event_id), commitment):
        raise ChainBroken("the details are not those the record was made with")
    return known


def _clip(text: str, limit: int) -> str:
    if text.isascii():
        return text[:limit]
    # Headers that are no UTF-8 arrive with lone surrogates, which JSON cannot carry.
    return text[:limit].encode(errors="replace").decode()


def _part(text: str) -> bytes:
    encoded = text.encode()
    return _length(len(encoded)) + encoded


def _length(length: int) -> bytes:
    return length.to_bytes(4, "big")


def _mac(key: bytes, message: bytes) -> str:
    return hmac.digest(key, message, "sha256")[:16].hex()
