"""Tests of camrelay.simulate.soundtrack."""

from __future__ import annotations

import struct

from camrelay.simulate.soundtrack import Soundtrack, Tone

TONE = Tone("PCMA/8000", 8, 8_000, 160, (b"a", b"b"))
AAC = Tone("MPEG4-GENERIC/48000/1", 97, 48_000, 1024, (b"x",), "config=1188")


def soundtrack(tone: Tone = TONE) -> Soundtrack:
    return Soundtrack(tone, 25, sequence=0xFFFF, timestamp=0xFFFFFFFF, ssrc=7)


def read(packet: bytes) -> tuple[int, ...]:
    return struct.unpack(">BBHII", packet[:12])


def test_packets_are_due_with_the_pictures() -> None:
    """Two of 20 ms for each picture of 40 ms, over every wrap, and the loop begins again."""
    track = soundtrack()
    assert track.due(0) == []
    packets = track.due(2)
    assert [packet[12:] for packet in packets] == [b"a", b"b", b"a", b"b"]
    assert [read(packet)[2:4] for packet in packets] == [(0xFFFF, 0xFFFFFFFF), (0, 159), (1, 319), (2, 479)]
    assert track.due(2) == []


def test_what_nobody_heard_is_left_out() -> None:
    """After a rest the sound goes on where the clock is."""
    track = soundtrack()
    assert track.due(1000) == []
    assert len(track.due(1001)) == 2


def test_only_aac_has_markers() -> None:
    """Where each says that an access unit ends."""
    assert read(soundtrack().due(1)[0])[1] == 8
    assert read(soundtrack(AAC).due(1)[0])[1] == 97 | 0x80


def test_reports_tie_the_clock_to_the_wall() -> None:
    """A second after the start the RTP clock shows 8000 more."""
    track = soundtrack()
    track.due(25)
    report = track.sender_report(25, 1_000_000, "cam1")
    kind, ssrc, seconds, timestamp, packets = struct.unpack(">xB2xII4xII", report[:24])
    assert (kind, ssrc, seconds - 2_208_988_800) == (200, 7, 1)
    assert (timestamp, packets) == (7_999, 50)
