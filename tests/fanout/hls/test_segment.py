"""Tests of camrelay.fanout.hls.segment."""

from __future__ import annotations

from camrelay.fanout.hls.segment import InitSection, Part, Segment


def test_a_part_without_data_is_a_gap() -> None:
    """Media that never came has a duration and nothing else."""
    assert Part(1, 18_000, False).is_gap
    assert not Part(1, 18_000, False, b"x").is_gap


def test_a_part_becomes_one_when_it_is_asked_for_and_only_once() -> None:
    """Until then it holds the pieces themselves; its size is known before."""
    part = Part(1, 18_000, True, b"moof", b"first", b"second")

    assert part.size_bytes == 15
    assert part.data == b"mooffirstsecond"
    assert part.data is part.data


def test_a_segment_is_as_large_as_its_parts() -> None:
    """Bytes are counted over the parts so far."""
    segment = Segment(7, InitSection(0, b"init", "avc1.64001f"), 0)

    segment.parts += [Part(0, 1, True, b"abc"), Part(1, 1, False, b"de")]

    assert segment.size_bytes == 5


def test_a_segment_prints_itself_for_logs() -> None:
    """Numbers and state, no bytes."""
    segment = Segment(7, InitSection(0, b"init", "avc1.64001f"), 0)
    assert repr(segment) == "<Segment 7 open, 0 parts, 0 ticks>"
    segment.is_complete = True
    assert repr(segment) == "<Segment 7 complete, 0 parts, 0 ticks>"
