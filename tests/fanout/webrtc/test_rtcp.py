"""What viewers report is understood, what we report others understand, and nothing malformed gets through."""

from __future__ import annotations

import contextlib
from struct import pack

import pytest
from aiortc.rtp import RtcpByePacket, RtcpPacket, RtcpRrPacket, RtcpSdesPacket, RtcpSrPacket
from hypothesis import given
from hypothesis import strategies as st

from bounded import cpu_s
from camrelay.errors import BadRtpPacket
from camrelay.fanout.webrtc.rtcp import (
    MAX_NACKED,
    Bye,
    KeyFrameRequest,
    Nack,
    Report,
    goodbye,
    parse,
    sender_report,
)

#: What one datagram of a stranger may cost.
LIMIT_S = 0.01


def packet(kind: int, count: int, body: bytes, *, padding: int = 0) -> bytes:
    body += bytes(padding - 1) + bytes([padding]) if padding else b""
    return pack("!BBH", 0x80 | (0x20 if padding else 0) | count, kind, len(body) // 4) + body


def block(ssrc: int, fraction: int, lost: int, highest: int) -> bytes:
    return pack("!IIIIII", ssrc, fraction << 24 | lost & 0xFFFFFF, highest, 0, 0, 0)


SENDER = pack("!I", 1)
MEDIA = pack("!I", 0xCAFE)

CASES = {
    "receiver report": (packet(201, 1, SENDER + block(5, 64, 7, 65540)), [Report(5, 64, 7, 65540)]),
    "duplicates make the loss negative": (packet(201, 1, SENDER + block(5, 0, -2, 9)), [Report(5, 0, -2, 9)]),
    "two blocks": (
        packet(201, 2, SENDER + block(5, 0, 0, 1) + block(6, 1, 2, 3)),
        [Report(5, 0, 0, 1), Report(6, 1, 2, 3)],
    ),
    "sender report of a viewer that sends": (
        packet(200, 1, SENDER + bytes(20) + block(5, 1, 1, 1)),
        [Report(5, 1, 1, 1)],
    ),
    "nack with a bit mask": (
        packet(205, 1, SENDER + MEDIA + pack("!HH", 65534, 0b101)),
        [Nack(0xCAFE, (65534, 65535, 1))],
    ),
    "pli": (packet(206, 1, SENDER + MEDIA), [KeyFrameRequest(0xCAFE)]),
    "fir names streams in its entries": (
        packet(206, 4, SENDER + bytes(4) + MEDIA + bytes(4) + pack("!I", 7) + bytes(4)),
        [KeyFrameRequest(0xCAFE), KeyFrameRequest(7)],
    ),
    "bye": (packet(203, 1, SENDER), [Bye()]),
    "padding": (packet(206, 1, SENDER + MEDIA, padding=4), [KeyFrameRequest(0xCAFE)]),
    "transport feedback, remb and sdes are skipped": (
        packet(205, 15, SENDER + MEDIA + bytes(8))
        + packet(206, 15, SENDER + bytes(16))
        + packet(202, 0, b""),
        [],
    ),
    "a nack without entries room": (packet(205, 1, SENDER), []),
    "compound": (packet(201, 0, SENDER) + packet(206, 1, SENDER + MEDIA), [KeyFrameRequest(0xCAFE)]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("name", CASES)
def test_what_viewers_send_is_understood(name: str) -> None:
    """Each message of RFC 3550, 4585 and 5104 that means something to us, and none that does not."""
    data, expected = CASES[name]

    assert parse(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",
        b"\x80\xc9\x00",
        pack("!BBH", 0x40, 201, 1) + SENDER,
        pack("!BBH", 0x80, 201, 2) + SENDER,
        packet(201, 1, SENDER),
        packet(200, 1, SENDER),
        packet(205, 1, SENDER + MEDIA + pack("!HH", 0, 0xFFFF) * (MAX_NACKED // 17 + 1)),
        pack("!BBH", 0xA0, 203, 0),
        pack("!BBH", 0xA0, 203, 1) + b"\0\0\0\0",
        pack("!BBH", 0xA0, 203, 1) + b"\0\0\0\5",
    ],
)
def test_what_breaks_its_framing_is_an_error(data: bytes) -> None:
    """Cut off, of another version, longer than the datagram, or with impossible padding."""
    with pytest.raises(BadRtpPacket):
        parse(data)


def test_a_sender_report_says_what_others_read_in_it() -> None:
    """aiortc reads the NTP time, the RTP time, the counters and the name."""
    data = sender_report(9, b"cam", now_us=1_500_000, timestamp=(1 << 32) + 3, packets=4, octets=5)

    report, description = RtcpPacket.parse(data)

    assert isinstance(report, RtcpSrPacket)
    assert isinstance(description, RtcpSdesPacket)
    assert report.ssrc == 9
    assert report.sender_info.ntp_timestamp == (2_208_988_801 << 32) + (1 << 31)
    assert (report.sender_info.rtp_timestamp, report.sender_info.packet_count) == (3, 4)
    assert report.sender_info.octet_count == 5
    assert [(item.ssrc, item.items) for item in description.chunks] == [(9, [(1, b"cam")])]


@pytest.mark.parametrize("length", range(1, 9))
def test_a_goodbye_is_a_whole_compound_packet(length: int) -> None:
    """Whatever the length of the name, the chunk ends on a word."""
    report, description, bye = RtcpPacket.parse(goodbye(9, b"n" * length))

    assert isinstance(report, RtcpRrPacket)
    assert isinstance(description, RtcpSdesPacket)
    assert isinstance(bye, RtcpByePacket)
    assert bye.sources == [9]


def parse_if_possible(data: bytes) -> None:
    with contextlib.suppress(BadRtpPacket):
        parse(data)


@given(st.binary(max_size=1500))
def test_noise_is_refused_or_skipped(data: bytes) -> None:
    """No datagram raises anything but BadRtpPacket, or takes long."""
    assert cpu_s(lambda: parse_if_possible(data), LIMIT_S) <= LIMIT_S


@given(
    st.lists(
        st.tuples(
            st.sampled_from([200, 201, 202, 203, 205, 206]), st.integers(0, 31), st.binary(max_size=200)
        ),
        max_size=6,
    )
)
def test_well_framed_noise_is_refused_or_skipped(parts: list[tuple[int, int, bytes]]) -> None:
    """The same behind proper headers, where it gets further."""
    data = b"".join(packet(kind, count, body[: len(body) // 4 * 4]) for kind, count, body in parts)
    assert cpu_s(lambda: parse_if_possible(data), LIMIT_S) <= LIMIT_S
