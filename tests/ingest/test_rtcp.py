"""Tests of camrelay.ingest.rtcp."""

from __future__ import annotations

import struct

from camrelay.ingest.rtcp import Reporter
from camrelay.ingest.rtp import Depacketizer

SSRC, OURS = 0xCAFE, 0xBEEF


def packet(sequence: int, ssrc: int = SSRC) -> bytes:
    return struct.pack(">BBHII", 0x80, 96, sequence, 0, ssrc) + b"\x41\x9a"


def track(*sequences: int) -> Depacketizer:
    made = Depacketizer(96)
    hear(made, *sequences)
    return made


def hear(track: Depacketizer, *sequences: int, ssrc: int = SSRC) -> None:
    for sequence in sequences:
        data = packet(sequence, ssrc)
        track.packet(data, 0, len(data))


def block(report: bytes) -> tuple[int, int, int, int]:
    """SSRC, fraction lost, packets lost, highest sequence number."""
    ssrc, lost, highest = struct.unpack_from(">III", report, 8)
    return ssrc, lost >> 24, lost & 0xFFFFFF, highest


def test_before_the_first_packet_there_is_nothing_to_report() -> None:
    """The report is sent all the same: some cameras only want to hear one."""
    report = Reporter(OURS).report(Depacketizer(96))

    assert struct.unpack_from(">BBHI", report) == (0x80, 201, 1, OURS)


def test_says_what_was_lost_since_the_last_report_and_in_all() -> None:
    """RFC 3550 §6.4.1, over the end of the sequence numbers."""
    heard = track(65_533, 65_534)
    reporter = Reporter(OURS)
    reporter.report(heard)
    hear(heard, 1, 2)

    report = reporter.report(heard)

    assert struct.unpack_from(">BBHI", report) == (0x81, 201, 7, OURS)
    assert block(report) == (SSRC, (2 << 8) // 4, 2, 65_536 + 2)
    assert block(reporter.report(heard)) == (SSRC, 0, 2, 65_536 + 2)


def test_a_track_that_counts_anew_has_lost_nothing() -> None:
    """Another source begins at its own first number."""
    heard = track(1, 2, 9)
    reporter = Reporter(OURS)
    reporter.report(heard)
    hear(heard, 7, ssrc=5)

    assert block(reporter.report(heard)) == (5, 0, 0, 7)


def test_is_a_whole_compound_packet() -> None:
    """A source description with a CNAME goes with every report (§6.1)."""
    report = Reporter(OURS).report(track(1))

    first, kind, words = struct.unpack_from(">BBH", report, 32)
    assert (first, kind) == (0x81, 202)
    assert len(report) == 32 + 4 + 4 * words
    assert b"camrelay\x00" in report
