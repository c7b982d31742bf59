"""SRTP against libsrtp, which is not ours."""

from __future__ import annotations

import struct

import pytest
from pylibsrtp import Policy, Session

from benchmarks.whep import srtp
from benchmarks.whep.dtls import SrtpKeys

MASTER = bytes(range(28))


def packet(sequence: int, *, extended: bool = False) -> bytes:
    header = struct.pack("!BBHII", 0x90 if extended else 0x80, 96, sequence, 90_000, 0xCAFEBABE)
    extension = struct.pack("!HHI", 0xBEDE, 1, 0) if extended else b""
    return header + extension + b"payload"


def libsrtp(profile: int, master: bytes = MASTER, direction: int = Policy.SSRC_ANY_OUTBOUND) -> Session:
    return Session(Policy(key=master, ssrc_type=direction, srtp_profile=profile))


def test_packets_of_libsrtp_open() -> None:
    """AES-GCM, with and without a header extension."""
    sender = libsrtp(Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
    opener = srtp.unprotect(SrtpKeys("SRTP_AEAD_AES_128_GCM", b"", MASTER))
    for sequence, extended in ((1, False), (2, True), (3, False)):
        clear = packet(sequence, extended=extended)
        assert opener.rtp(sender.protect(clear)) == clear


def test_the_rollover_counter_follows_the_sequence_numbers() -> None:
    """Across a wrap, and for a packet from before it that comes late."""
    sender = libsrtp(Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
    opener = srtp.unprotect(SrtpKeys("SRTP_AEAD_AES_128_GCM", b"", MASTER))
    protected = {number: sender.protect(packet(number)) for number in (65_533, 65_534, 65_535, 0, 1)}
    for number in (65_533, 65_535, 0, 65_534, 1):
        assert opener.rtp(protected[number]) == packet(number)


def test_a_changed_packet_is_not_authentic() -> None:
    """One bit is enough, under either profile."""
    for name, profile, master in (
        ("SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, MASTER),
        ("SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, MASTER + b"ab"),
    ):
        protected = bytearray(libsrtp(profile, master).protect(packet(5)))
        protected[-1] ^= 1
        with pytest.raises(srtp.NotAuthentic):
            srtp.unprotect(SrtpKeys(name, b"", master)).rtp(bytes(protected))


@pytest.mark.parametrize(
    ("name", "profile", "master"),
    [
        ("SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, MASTER),
        ("SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, MASTER + b"ab"),
    ],
)
def test_libsrtp_opens_our_reports(name: str, profile: int, master: bytes) -> None:
    """A receiver report, twice: the SRTCP index counts."""
    report = struct.pack("!BBHIIIIIII", 0x81, 201, 7, 1, 2, 0, 3, 0, 0, 0)
    closer = srtp.protect(SrtpKeys(name, master, b""))
    receiver = libsrtp(profile, master, Policy.SSRC_ANY_INBOUND)
    assert receiver.unprotect_rtcp(closer.rtcp(report)) == report
    assert receiver.unprotect_rtcp(closer.rtcp(report)) == report


def test_header_lengths() -> None:
    """CSRCs and extension count."""
    assert srtp.rtp_header_bytes(packet(1)) == 12
    assert srtp.rtp_header_bytes(packet(1, extended=True)) == 20
    assert srtp.rtp_header_bytes(b"\x82" + packet(1)[1:] + bytes(8)) == 20
