"""SRTP for the sample that is decrypted, SRTCP for the reports that are sent.

AEAD_AES_128_GCM (RFC 7714) with `cryptography`; AES128_CM_HMAC_SHA1_80 through pylibsrtp, for servers that
choose it.
"""

from __future__ import annotations

import struct
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pylibsrtp import Error as LibsrtpError
from pylibsrtp import Policy, Session

from benchmarks.whep.dtls import SrtpKeys

_KEY_BYTES, _SALT_BYTES = 16, 12

#: Labels of the key derivation (RFC 3711 §4.3.2).
_RTP_KEY, _RTP_SALT, _RTCP_KEY, _RTCP_SALT = 0, 2, 3, 5


class NotAuthentic(Exception):
    """A packet whose tag does not verify."""


class Unprotect(Protocol):
    """Opens what the server sent."""

    def rtp(self, packet: bytes) -> bytes:
        """The packet in the clear, header included.

        Raises:
            NotAuthentic: it was not made with these keys.
        """
        ...


class Protect(Protocol):
    """Closes what the viewer sends."""

    def rtcp(self, packet: bytes) -> bytes:
        """The SRTCP packet."""
        ...


def derive(master: bytes, label: int, length: int) -> bytes:
    """A session key or salt (RFC 3711 §4.3.3) from master key and 96-bit master salt (RFC 7714 §11)."""
    salt = master[_KEY_BYTES:]
    counter = bytearray(salt.ljust(16, b"\0"))
    counter[7] ^= label
    cipher = Cipher(algorithms.AES128(master[:_KEY_BYTES]), modes.CTR(bytes(counter)))
    return cipher.encryptor().update(bytes(length))


def rtp_header_bytes(packet: bytes) -> int:
    """Length of the RTP header with CSRCs and extension (RFC 3550 §5.1)."""
    length = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        length += 4 + 4 * int.from_bytes(packet[length + 2 : length + 4])
    return length


class GcmUnprotect:
    """AEAD_AES_128_GCM for one SSRC at a time; the rollover counter follows the sequence numbers."""

    def __init__(self, master: bytes) -> None:
        self._cipher = AESGCM(derive(master, _RTP_KEY, _KEY_BYTES))
        self._salt = int.from_bytes(derive(master, _RTP_SALT, _SALT_BYTES))
        self._rollover = 0
        self._highest: int | None = None

    def rtp(self, packet: bytes) -> bytes:
        sequence, ssrc = struct.unpack_from("!2xH4xI", packet)
        rollover = self._estimate(sequence)
        nonce = (ssrc << 48 | rollover << 16 | sequence) ^ self._salt
        header = rtp_header_bytes(packet)
        try:
            clear = self._cipher.decrypt(nonce.to_bytes(12), packet[header:], packet[:header])
        except InvalidTag:
            raise NotAuthentic from None
        if self._highest is None or (rollover << 16 | sequence) > (self._rollover << 16 | self._highest):
            self._rollover, self._highest = rollover, sequence
        return packet[:header] + clear

    def _estimate(self, sequence: int) -> int:
        """RFC 3711 §3.3.1: the rollover that brings the packet closest to the newest one."""
        if self._highest is None:
            return 0
        distance = sequence - self._highest
        if distance < -0x8000:
            return self._rollover + 1
        if distance > 0x8000:
            return max(0, self._rollover - 1)
        return self._rollover


class GcmProtect:
    """AEAD_AES_128_GCM for SRTCP (RFC 7714 §9)."""

    def __init__(self, master: bytes) -> None:
        self._cipher = AESGCM(derive(master, _RTCP_KEY, _KEY_BYTES))
        self._salt = int.from_bytes(derive(master, _RTCP_SALT, _SALT_BYTES))
        self._index = 0

    def rtcp(self, packet: bytes) -> bytes:
        self._index += 1
        ssrc = int.from_bytes(packet[4:8])
        trailer = struct.pack("!I", 0x80000000 | self._index)
        nonce = (ssrc << 48 | self._index) ^ self._salt
        return (
            packet[:8] + self._cipher.encrypt(nonce.to_bytes(12), packet[8:], packet[:8] + trailer) + trailer
        )


class LibsrtpUnprotect:
    """Any profile of libsrtp, inbound."""

    def __init__(self, master: bytes) -> None:
        self._session = Session(
            Policy(
                key=master,
                ssrc_type=Policy.SSRC_ANY_INBOUND,
                srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
            )
        )

    def rtp(self, packet: bytes) -> bytes:
        try:
            return bytes(self._session.unprotect(packet))
        except LibsrtpError:
            raise NotAuthentic from None


class LibsrtpProtect:
    """Any profile of libsrtp, outbound."""

    def __init__(self, master: bytes) -> None:
        self._session = Session(
            Policy(
                key=master,
                ssrc_type=Policy.SSRC_ANY_OUTBOUND,
                srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
            )
        )

    def rtcp(self, packet: bytes) -> bytes:
        return bytes(self._session.protect_rtcp(packet))


def unprotect(keys: SrtpKeys) -> Unprotect:
    """What opens the server's packets under the negotiated profile."""
    gcm = keys.profile == "SRTP_AEAD_AES_128_GCM"
    return GcmUnprotect(keys.remote_key) if gcm else LibsrtpUnprotect(keys.remote_key)


def protect(keys: SrtpKeys) -> Protect:
    """What closes the viewer's reports under the negotiated profile."""
    gcm = keys.profile == "SRTP_AEAD_AES_128_GCM"
    return GcmProtect(keys.local_key) if gcm else LibsrtpProtect(keys.local_key)
