"""Tests of camrelay.tools.hlshistory: a stream without fault, and planted faults over time."""

from __future__ import annotations

import msgspec
import pytest

from camrelay.fanout.hls.playlist import MediaPlaylist, Part, Segment, ServerControl
from camrelay.tools.hlshistory import History

FIRST = 100


def segment(msn: int, *, parts: int = 0, is_open: bool = False, **fields: object) -> Segment:
    """A segment of two seconds in four parts."""
    values: dict[str, object] = {
        "uri": "" if is_open else f"s{msn}",
        "duration_s": 0.0 if is_open else 2.0,
        "parts": tuple(Part(f"p{msn}.{i}", 0.5) for i in range(parts)),
        "program_date_time_us": msn * 2_000_000,
        **fields,
    }
    return Segment(**values)  # type: ignore[arg-type]


def version(first: int, last: int, *, open_parts: int = 0, **fields: object) -> MediaPlaylist:
    """A playlist of complete segments, the last two with parts, and perhaps an open one."""
    segments = [segment(n, parts=4 if n > last - 2 else 0) for n in range(first, last + 1)]
    if open_parts:
        segments.append(segment(last + 1, parts=open_parts, is_open=True))
    values: dict[str, object] = {
        "target_duration_s": 2,
        "part_target_s": 0.5,
        "media_sequence": first,
        "segments": tuple(segments),
        "version": 6,
        **fields,
    }
    return MediaPlaylist(**values)  # type: ignore[arg-type]


class Stream:
    """Versions, one after the other."""

    def __init__(self) -> None:
        self.history = History()
        self.now = 1000.0

    def add(self, playlist: MediaPlaylist, after_s: float = 0.5) -> set[str]:
        self.now += after_s
        return {failure.rule for failure in self.history.add(playlist, self.now)}

    def run(self, segments: int) -> set[str]:
        """A faultless stream from the first segment on, with a window of four."""
        rules: set[str] = set()
        for last in range(FIRST, FIRST + segments):
            first = max(FIRST, last - 3)
            rules |= self.add(version(first, last), 0.5)
            for parts in (1, 2, 3, 4):
                rules |= self.add(version(first, last, open_parts=parts), 0.5 if parts > 1 else 0.0)
        return rules


def test_a_good_stream_breaks_nothing() -> None:
    """Segments come and go, parts grow and leave."""
    assert Stream().run(10) == set()


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("H3", {"target_duration_s": 3}),
        ("H3", {"part_target_s": 0.6}),
        ("H4", {"discontinuity_sequence": -1}),
        ("H5", {"version": 7}),
        ("H5", {"control": ServerControl(can_block_reload=True)}),
    ],
)
def test_what_must_not_change(rule: str, change: dict[str, object]) -> None:
    """Constants of a playlist's life, numbers that only grow."""
    stream = Stream()
    stream.run(5)
    assert rule in stream.add(version(FIRST + 1, FIRST + 4, open_parts=4, **change))


def test_nothing_comes_after_the_end() -> None:
    """H9: a playlist with EXT-X-ENDLIST is the last one."""
    stream = Stream()
    stream.add(version(FIRST, FIRST + 4, has_endlist=True))
    assert "H9" in stream.add(version(FIRST, FIRST + 5))


@pytest.mark.parametrize(
    ("rule", "first", "last"),
    [
        ("H4", FIRST, FIRST + 4),
        ("H4", FIRST + 20, FIRST + 24),
        ("H5", FIRST + 1, FIRST + 3),
        ("H7", FIRST + 3, FIRST + 4),
    ],
)
def test_what_may_not_be_listed(rule: str, first: int, last: int) -> None:
    """Segments that come back, are left out, vanish at the end, or leave too little."""
    stream = Stream()
    stream.run(5)
    assert rule in stream.add(version(first, last))


@pytest.mark.parametrize(
    "change",
    [
        {"uri": "other"},
        {"duration_s": 1.9},
        {"program_date_time_us": 5},
        {"is_discontinuity": True},
        {"parts": (Part("other", 0.5),)},
    ],
)
def test_a_segment_is_one_segment_for_good(change: dict[str, object]) -> None:
    """H5: whatever was said of it stays true."""
    stream = Stream()
    stream.run(5)
    playlist = version(FIRST + 1, FIRST + 4, open_parts=4)
    changed = msgspec.structs.replace(playlist.segments[3], **change)
    segments = (*playlist.segments[:3], changed, *playlist.segments[4:])
    rules = stream.add(msgspec.structs.replace(playlist, segments=segments))
    assert "H5" in rules
    assert ("H4" in rules) is ("is_discontinuity" in change)


def test_a_gap_stays_a_gap_and_a_map_a_map() -> None:
    """H5, for the rarer tags."""
    stream = Stream()
    good = version(FIRST, FIRST + 3)
    gap = msgspec.structs.replace(good.segments[0], is_gap=True, map_uri="a")
    stream.add(msgspec.structs.replace(good, segments=(gap, *good.segments[1:])))
    no_gap = msgspec.structs.replace(gap, is_gap=False)
    assert stream.add(msgspec.structs.replace(good, segments=(no_gap, *good.segments[1:]))) == {"H5"}
    other_map = msgspec.structs.replace(gap, is_gap=False, map_uri="b")
    assert stream.add(msgspec.structs.replace(good, segments=(other_map, *good.segments[1:]))) == {"H5"}


class TestPace:
    def test_a_late_segment_is_found(self) -> None:
        """H6: 1.5 TARGETDURATIONs after the last one, the next is due."""
        stream = Stream()
        stream.run(5)
        assert stream.add(version(FIRST + 2, FIRST + 5), 2.0) == {"H6"}

    def test_a_hiccup_is_none(self) -> None:
        """A part may be late by half a TARGETDURATION: cameras and networks are."""
        stream = Stream()
        stream.add(version(FIRST, FIRST + 3, open_parts=1))
        assert stream.add(version(FIRST, FIRST + 3, open_parts=2), 1.4) == set()

    def test_silence_without_gaps_is_found(self) -> None:
        """H6: beyond that, silence has to be filled."""
        stream = Stream()
        stream.add(version(FIRST, FIRST + 3, open_parts=1))
        assert stream.add(version(FIRST, FIRST + 3, open_parts=2), 1.8) == {"H6"}

    def test_equal_versions_are_no_news(self) -> None:
        """A version that adds nothing does not reset the clock."""
        stream = Stream()
        stream.add(version(FIRST, FIRST + 3, open_parts=1))
        assert stream.add(version(FIRST, FIRST + 3, open_parts=1), 1.0) == set()
        assert stream.add(version(FIRST, FIRST + 3, open_parts=2), 1.0) == {"H6"}

    def test_an_empty_playlist_is_no_news_either(self) -> None:
        """A server may list nothing at first."""
        stream = Stream()
        empty = msgspec.structs.replace(version(FIRST, FIRST), segments=())
        assert stream.add(empty) == set()
        assert stream.add(empty) == set()


class TestInterruption:
    def test_numbers_may_jump_ahead(self) -> None:
        """A server that starts anew has other segments under higher numbers, and all the time it needs."""
        stream = Stream()
        stream.run(5)
        stream.history.interrupt()
        assert stream.add(version(5000, 5000, open_parts=1), 20.0) == set()
        assert stream.add(version(5000, 5000, open_parts=2), 0.5) == set()

    def test_numbers_may_not_go_back(self) -> None:
        """H4: not even then; for viewers it is the same playlist."""
        stream = Stream()
        stream.run(5)
        stream.history.interrupt()
        assert "H4" in stream.add(version(1, 1, open_parts=1), 5.0)


class TestAvailability:
    def test_is_from_the_first_listing_on(self) -> None:
        """First appearance, plus duration, plus the longest playlist that had it."""
        stream = Stream()
        stream.run(8)
        record = stream.history.records[FIRST + 1]
        assert record.first_seen is not None
        assert stream.history.available_until(FIRST + 1) == record.first_seen + 2.0 + 8.0

    def test_is_not_known_of_what_is_older_than_the_check(self) -> None:
        """The first version lists segments of unknown age: they may vanish any time."""
        stream = Stream()
        stream.add(version(FIRST, FIRST + 3))
        stream.add(version(FIRST + 1, FIRST + 4), 2.0)
        assert stream.history.available_until(FIRST) is None

    def test_is_not_asked_of_what_is_listed_or_lost(self) -> None:
        """A listed segment is fetched anyway; a server that started anew has lost the old ones."""
        stream = Stream()
        stream.run(8)
        assert stream.history.available_until(FIRST + 7) is None
        stream.history.interrupt()
        assert stream.history.available_until(FIRST) is None
