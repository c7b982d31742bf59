"""The few STUN messages a controlling ICE agent needs, built in a few microseconds each.

RFC 8489 for the messages, RFC 8445 §7 for the checks. A load client sends and answers hundreds of them a
second beside its real work, so nothing here is general: IPv4, Binding, short-term credentials.
"""

from __future__ import annotations

import hmac
import socket
import struct
import zlib

MAGIC_COOKIE = 0x2112A442

BINDING_REQUEST = 0x0001
BINDING_RESPONSE = 0x0101

_USERNAME = 0x0006
_MESSAGE_INTEGRITY = 0x0008
_XOR_MAPPED_ADDRESS = 0x0020
_PRIORITY = 0x0024
_USE_CANDIDATE = 0x0025
_FINGERPRINT = 0x8028
_ICE_CONTROLLING = 0x802A

#: RFC 8489 §14.7.
_FINGERPRINT_XOR = 0x5354554E

_HEADER = struct.Struct("!HHI12s")
_HEADER_BYTES = _HEADER.size
_INTEGRITY_BYTES = 24
_FINGERPRINT_BYTES = 8

#: Type preference 110 (peer reflexive), local preference 65535, component 1 (RFC 8445 §5.1.2.1).
_CHECK_PRIORITY = 110 << 24 | 65535 << 8 | 255


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _signed(kind: int, transaction: bytes, attributes: bytes, key: bytes) -> bytes:
    """The message with MESSAGE-INTEGRITY and FINGERPRINT, each over what stands before it."""
    length = len(attributes) + _INTEGRITY_BYTES
    message = _HEADER.pack(kind, length, MAGIC_COOKIE, transaction) + attributes
    message += struct.pack("!HH", _MESSAGE_INTEGRITY, 20) + hmac.digest(key, message, "sha1")
    length += _FINGERPRINT_BYTES
    message = _HEADER.pack(kind, length, MAGIC_COOKIE, transaction) + message[_HEADER_BYTES:]
    crc = zlib.crc32(message) ^ _FINGERPRINT_XOR
    return message + struct.pack("!HHI", _FINGERPRINT, 4, crc)


class Checks:
    """The checks of one viewer: its credentials, packed once.

    `local` and `remote` are (ufrag, password) of each side's description.
    """

    __slots__ = ("_attributes", "_local_key", "_remote_key")

    def __init__(self, local: tuple[str, str], remote: tuple[str, str], tie_breaker: int) -> None:
        self._local_key = local[1].encode()
        self._remote_key = remote[1].encode()
        self._attributes = (
            _attribute(_USERNAME, f"{remote[0]}:{local[0]}".encode())
            + _attribute(_PRIORITY, struct.pack("!I", _CHECK_PRIORITY))
            + _attribute(_ICE_CONTROLLING, struct.pack("!Q", tie_breaker))
            + _attribute(_USE_CANDIDATE, b"")
        )

    def request(self, transaction: bytes) -> bytes:
        """A check that nominates, and later the same as a consent check (RFC 7675 §5.1)."""
        return _signed(BINDING_REQUEST, transaction, self._attributes, self._remote_key)

    def response(self, transaction: bytes, address: tuple[str, int]) -> bytes:
        """The answer to the server's own check, telling it the address it was seen from."""
        port = address[1] ^ MAGIC_COOKIE >> 16
        ip = int.from_bytes(socket.inet_aton(address[0])) ^ MAGIC_COOKIE
        mapped = _attribute(_XOR_MAPPED_ADDRESS, struct.pack("!BBHI", 0, 1, port, ip))
        return _signed(BINDING_RESPONSE, transaction, mapped, self._local_key)


def parse(message: bytes) -> tuple[int, bytes] | None:
    """(type, transaction id) of a STUN message, None of anything else."""
    if len(message) < _HEADER_BYTES:
        return None
    kind, _, cookie, transaction = _HEADER.unpack_from(message)
    return (kind, transaction) if cookie == MAGIC_COOKIE else None
