"""Access units cut into RTP packets and stamped, read back by another implementation's parser."""

from __future__ import annotations

import pytest
from aiortc.rtp import RtcpPacket, RtcpSdesPacket, RtcpSrPacket, RtpPacket

from camrelay.simulate import clock, rtp

SPS, PPS = b"\x67\x4d\x40\x1f\xda", b"\x68\xef\x3c\x80"
SENT_US = 1_790_000_000_123_456


def idr(size: int) -> bytes:
    """An IDR slice whose bytes tell where they stand."""
    return b"\x65" + bytes(at % 251 for at in range(size - 1))


def split(data: bytes) -> list[tuple[int, RtpPacket]]:
    """(channel, packet) of interleaved data."""
    found = []
    while data:
        assert data[0] == ord("$")
        end = 4 + int.from_bytes(data[2:4], "big")
        found.append((data[1], RtpPacket.parse(data[4:end])))
        data = data[end:]
    return found


def assemble(packets: list[RtpPacket]) -> list[bytes]:
    """The NAL units of single NAL unit packets and FU-A fragments."""
    units: list[bytes] = []
    for payload in (packet.payload for packet in packets):
        if payload[0] & 31 != 28:
            units.append(payload)
        elif payload[1] & 0x80:
            units.append(bytes((payload[0] & 0xE0 | payload[1] & 31,)) + payload[2:])
        else:
            units[-1] += payload[2:]
    return units


@pytest.mark.parametrize("size", [2, 1400, 1401, 1402, 2797, 2798, 20_000])
def test_an_access_unit_comes_back_whole(size: int) -> None:
    """All sizes around the borders of packets, with the send time in front of the slice."""
    train = rtp.cut((SPS, PPS, idr(size)), is_key=True, delay=0)
    packets = [p for _, p in split(rtp.stamp(train, 0, 7, 90_000, 0xCAFE, SENT_US))]

    assert [SPS, PPS, clock.sei_nal_unit(SENT_US), idr(size)] == assemble(packets)
    assert all(len(p.payload) <= rtp.MAX_PAYLOAD_BYTES for p in packets)
    assert sum(len(p.payload) for p in packets) == train.payload_bytes


def test_a_picture_can_do_without_the_send_time() -> None:
    """As most cameras' do; nothing of it is stamped over."""
    train = rtp.cut((SPS, PPS, idr(3000)), is_key=True, delay=0, has_clock=False)
    packets = [p for _, p in split(rtp.stamp(train, 0, 7, 90_000, 0xCAFE, SENT_US))]

    assert assemble(packets) == [SPS, PPS, idr(3000)]


def h265_assemble(packets: list[RtpPacket]) -> list[bytes]:
    """The NAL units of RFC 7798's single NAL unit packets and fragmentation units."""
    units: list[bytes] = []
    for payload in (packet.payload for packet in packets):
        if payload[0] >> 1 & 63 != 49:
            units.append(payload)
        elif payload[2] & 0x80:
            units.append(bytes((payload[0] & 0x81 | (payload[2] & 63) << 1, payload[1])) + payload[3:])
        else:
            units[-1] += payload[3:]
    return units


@pytest.mark.parametrize("size", [3, 1400, 1401, 2797, 20_000])
def test_an_h265_access_unit_comes_back_whole(size: int) -> None:
    """With headers of two bytes: VPS, SPS and PPS, the send time, and an IDR_W_RADL slice."""
    sets = (b"\x40\x01\x0c", b"\x42\x01\x01", b"\x44\x01\xc1")
    picture = b"\x26\x01" + bytes(at % 251 for at in range(size - 2))
    train = rtp.cut((*sets, picture), is_key=True, delay=0, is_h265=True)
    packets = [p for _, p in split(rtp.stamp(train, 0, 7, 90_000, 0xCAFE, SENT_US))]

    sei = clock.sei_nal_unit(SENT_US, clock.H265_HEADER)
    assert h265_assemble(packets) == [*sets, sei, picture]
    assert all(len(p.payload) <= rtp.MAX_PAYLOAD_BYTES for p in packets)


def test_fragments_are_marked_at_both_ends() -> None:
    """Start bit on the first FU-A, end bit on the last, none between (RFC 6184 §5.8)."""
    train = rtp.cut((idr(5000),), is_key=True, delay=0)
    fragments = [p.payload for _, p in split(rtp.stamp(train, 0, 0, 0, 0, 0))][1:]

    assert [f[1] for f in fragments] == [0x85, 0x05, 0x05, 0x45]


def test_headers_are_stamped() -> None:
    """Consecutive sequence numbers over the wrap; one timestamp and SSRC; the marker on the last packet."""
    train = rtp.cut((idr(5000), idr(10)), is_key=True, delay=0)
    stamped = split(rtp.stamp(train, 6, 65_534, 0xFFFFFFFF, 0xDEADBEEF, SENT_US))
    packets = [p for _, p in stamped]

    assert {6} == {channel for channel, _ in stamped}
    assert [p.sequence_number for p in packets] == [65_534, 65_535, 0, 1, 2, 3]
    assert {(0xFFFFFFFF, 0xDEADBEEF, 96)} == {(p.timestamp, p.ssrc, p.payload_type) for p in packets}
    assert [p.marker for p in packets] == [0, 0, 0, 0, 0, 1]


def test_the_template_is_left_alone() -> None:
    """Stamping twice gives two departures that know nothing of each other."""
    train = rtp.cut((idr(5000),), is_key=True, delay=0)
    first = rtp.stamp(train, 2, 9, 9, 9, SENT_US)
    second = rtp.stamp(train, 0, 1, 1, 1, 0)

    assert first != second
    assert second == rtp.stamp(train, 0, 1, 1, 1, 0)


def test_datagrams_are_the_same_packets() -> None:
    """Without their framing."""
    train = rtp.cut((SPS, PPS, idr(5000)), is_key=True, delay=0)
    stamped = rtp.stamp(train, 0, 100, 1, 2, SENT_US)

    datagrams = rtp.datagrams(train, stamped)

    assert stamped == b"".join(rtp.interleaved(0, d) for d in datagrams)
    assert [100 + n for n in range(7)] == [RtpPacket.parse(d).sequence_number for d in datagrams]


@pytest.mark.parametrize("cname", ["c", "ca", "cam", "cam4"])
def test_sender_reports_are_compound_packets(cname: str) -> None:
    """SR and SDES; the NTP time is that of the wall clock, the counts wrap; padding for every length."""
    packet = rtp.sender_report(0xDEADBEEF, 1_500_000, 90_000, 2**32 + 5, 2**32 + 6, cname)

    report, description = RtcpPacket.parse(packet)

    assert isinstance(report, RtcpSrPacket)
    assert report.ssrc == 0xDEADBEEF
    assert report.sender_info.ntp_timestamp == (2_208_988_801 << 32) + (1 << 31)
    assert (
        report.sender_info.rtp_timestamp,
        report.sender_info.packet_count,
        report.sender_info.octet_count,
    ) == (90_000, 5, 6)
    assert isinstance(description, RtcpSdesPacket)
    assert [(1, cname.encode())] == description.chunks[0].items
