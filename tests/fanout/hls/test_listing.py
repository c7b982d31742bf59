"""Tests of camrelay.fanout.hls.listing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay import config
from camrelay.fanout.hls import listing, parser, playlist
from camrelay.fanout.hls.listing import Beside, Listing
from camrelay.fanout.hls.playlist import MediaPlaylist, RenditionReport
from camrelay.fanout.hls.segment import InitSection, Part, Segment
from camrelay.model import CLOCK_RATE

FIRST = 1000
PART_TARGET = 45_000
INIT = InitSection(0, b"first init", "avc1.64001f")
OTHER = InitSection(1, b"other init", "avc1.42e01e")


class Stream:
    """A listing that is fed segments of half-second parts, on a clock that runs with them."""

    def __init__(self, **options: int | float) -> None:
        given_options = {"target_duration_s": 2, "window_segments": 3, "segment_s": 2.0, **options}
        self.listing = Listing(config.Hls(**given_options), 7, "x")  # type: ignore[arg-type]
        self.now = 100.0
        self.msn = FIRST
        self.part = 0
        self.segment: Segment | None = None
        self.forgotten: list[tuple[float, Segment]] = []

    def add_part(
        self,
        *,
        init: InitSection = INIT,
        is_discontinuity: bool = False,
        is_gap: bool = False,
        size: int = 1000,
    ) -> Part:
        if self.segment is None:
            self.segment = Segment(
                self.msn, init, int(self.now * 1e6), is_discontinuity=is_discontinuity, is_gap=is_gap
            )
            self.msn += 1
        part = Part(self.part, PART_TARGET, not self.segment.parts, *(() if is_gap else (bytes(size),)))
        self.part += 1
        self.now += 0.5
        self.segment.parts.append(part)
        self.segment.duration += part.duration
        self.listing.add(self.segment, part, self.now)
        return part

    def complete(self) -> Segment:
        segment = self.segment
        assert segment is not None
        segment.is_complete = True
        self.segment = None
        self.forgotten += [(self.now, s) for s in self.listing.complete(segment, self.now)]
        return segment

    def add_segment(self, parts: int = 4, **what: object) -> Segment:
        for _ in range(parts):
            self.add_part(**what)  # type: ignore[arg-type]
        return self.complete()

    def text(self, skipped: int = 0) -> str:
        return self.listing.media(skipped=skipped, part_target=PART_TARGET, next_part=self.part)

    def playlist(self, skipped: int = 0) -> MediaPlaylist:
        return parser.parse_media(self.text(skipped))


class TestMedia:
    def test_lists_the_first_part_at_once(self) -> None:
        """A playlist is complete with one part: map, date, hint at the next one."""
        stream = Stream()
        assert not stream.listing

        stream.add_part()

        assert stream.listing
        assert stream.text() == (
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n"
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=6,PART-HOLD-BACK=1.5\n"
            "#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:1000\n#EXT-X-DISCONTINUITY-SEQUENCE:7\n"
            '#EXT-X-MAP:URI="xi0.mp4"\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:40.000Z\n'
            '#EXT-X-PART:URI="xp0.m4s",DURATION=0.5,INDEPENDENT=YES\n'
            '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="xp1.m4s"\n'
        )

    def test_a_complete_segment_gets_its_duration(self) -> None:
        """EXTINF and URI come with the last part; the hint goes on counting parts."""
        stream = Stream()

        stream.add_segment()

        (segment,) = stream.playlist().segments
        assert (segment.uri, segment.duration_s, len(segment.parts)) == ("xs1000.m4s", 2.0, 4)
        assert stream.playlist().hints[0].uri == "xp4.m4s"

    def test_segments_leave_in_order_and_are_counted(self) -> None:
        """The window slides, the first listed segment names the map, numbers count what left."""
        stream = Stream(window_segments=4)
        stream.add_segment()
        stream.add_segment(is_discontinuity=True)

        for _ in range(4):
            stream.add_segment()
        first = stream.playlist()
        stream.add_segment()
        second = stream.playlist()

        assert (first.media_sequence, first.discontinuity_sequence) == (1002, 8)
        assert (second.media_sequence, second.discontinuity_sequence) == (1003, 8)
        assert [s.map_uri for s in second.segments] == ["xi0.mp4", None, None, None]

    def test_tells_the_number_of_the_newest_discontinuity(self) -> None:
        """What is listed counts too: this is what a later start has to go on from."""
        stream = Stream(window_segments=4)
        stream.add_segment()
        assert stream.listing.newest_discontinuity == 7
        stream.add_segment(is_discontinuity=True)
        assert stream.listing.newest_discontinuity == 8
        for _ in range(6):
            stream.add_segment()
        assert stream.listing.newest_discontinuity == 8

    def test_never_shorter_than_three_target_durations(self) -> None:
        """Short segments stay beyond the window's count until enough seconds remain (6.2.2)."""
        stream = Stream()

        for _ in range(20):
            stream.add_segment(parts=1)
            total_s = sum(s.duration_s for s in stream.playlist().segments)
            assert total_s >= 6.0 or stream.playlist().media_sequence == FIRST

        assert len(stream.playlist().segments) == 12

    def test_parts_stay_at_the_live_edge(self) -> None:
        """Only the newest segments list parts, counting the one that the hint begins."""
        stream = Stream(window_segments=6)
        for _ in range(5):
            stream.add_segment()

        assert [len(s.parts) for s in stream.playlist().segments] == [0, 0, 0, 4, 4]
        stream.add_part()
        assert [len(s.parts) for s in stream.playlist().segments] == [0, 0, 0, 4, 4, 1]

    def test_parts_leave_after_three_target_durations_at_the_latest(self) -> None:
        """Long segments list no parts that far back, though they are among the newest (6.2.2)."""
        stream = Stream(target_duration_s=1, segment_s=1.0)
        for _ in range(2):
            stream.add_segment(parts=4)

        stream.add_part()
        assert [len(s.parts) for s in stream.playlist().segments] == [0, 4, 1]

    def test_a_new_map_is_named_where_it_begins(self) -> None:
        """And again on the first listed segment, and on the first one after a skip."""
        stream = Stream(window_segments=20, target_duration_s=1)
        for _ in range(2):
            stream.add_segment()
        for _ in range(4):
            stream.add_segment(init=OTHER, is_discontinuity=True)

        assert [s.map_uri for s in stream.playlist().segments] == [
            "xi0.mp4",
            None,
            "xi1.mp4",
            None,
            None,
            None,
        ]
        assert [s.map_uri for s in stream.playlist(3).segments] == ["xi1.mp4", None, None]

    def test_gaps_are_marked(self) -> None:
        """Media that never came: EXT-X-GAP on the segment, GAP=YES on its parts."""
        stream = Stream()
        stream.add_segment()

        stream.add_segment(is_gap=True)
        stream.add_part(is_discontinuity=True)

        segments = stream.playlist().segments
        assert [s.is_gap for s in segments] == [False, True, False]
        assert [p.is_gap for p in segments[1].parts] == [True] * 4
        assert [s.is_discontinuity for s in segments] == [False, False, True]

    def test_a_long_window_can_be_skipped(self) -> None:
        """Delta updates replace what lies beyond six TARGETDURATIONs (6.2.5.1), and need version 9."""
        stream = Stream(window_segments=10)
        for _ in range(6):
            stream.add_segment()
        assert stream.listing.skippable == 0
        for _ in range(3):
            stream.add_segment()

        assert stream.listing.skippable == 2
        whole, delta = stream.playlist(), stream.playlist(2)
        assert whole.control is not None
        assert whole.control.can_skip_until_s == 12.0
        assert (whole.version, delta.version, delta.skipped_segments) == (6, 9, 2)
        assert delta.segments[1:] == whole.segments[3:]
        assert delta.last_msn == whole.last_msn

    def test_a_short_window_offers_no_skipping(self) -> None:
        """CAN-SKIP-UNTIL where nothing can ever be skipped would be a promise without content."""
        stream = Stream()
        for _ in range(9):
            stream.add_segment()

        control = stream.playlist().control
        assert control is not None
        assert control.can_skip_until_s is None
        assert stream.listing.skippable == 0


def variant(stream: Stream) -> str:
    """The lines of a stream in a multivariant playlist."""
    found = stream.listing.variant("u", resolution=(640, 360), frame_rate=25.0)
    return playlist.serialize_multivariant((found,))


class TestVariant:
    def test_measures_the_bit_rate(self) -> None:
        """BANDWIDTH is the peak of any segment so far, AVERAGE-BANDWIDTH that of what is listed."""
        stream = Stream()
        stream.add_segment(size=2000)
        stream.add_segment(size=500)

        text = variant(stream)

        assert text == (
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=32000,AVERAGE-BANDWIDTH=20000,"
            'CODECS="avc1.64001f",RESOLUTION=640x360,FRAME-RATE=25\nu\n'
        )

    def test_a_short_segment_is_measured_with_those_beside_it(self) -> None:
        """The first one is a single part with a key frame: players would not dare to choose this variant."""
        stream = Stream(target_duration_s=4)
        stream.add_segment(1, size=9000)
        for _ in range(8):
            stream.add_segment(size=1000)

        assert "BANDWIDTH=41600,AVERAGE-BANDWIDTH=16000," in variant(stream)

    def test_names_every_codec_that_is_listed(self) -> None:
        """After a change of parameters both, the newer one first; later only the new one."""
        stream = Stream()
        stream.add_segment()
        stream.add_segment(init=OTHER, is_discontinuity=True)
        text = variant(stream)
        assert 'CODECS="avc1.42e01e,avc1.64001f"' in text

        for _ in range(3):
            stream.add_segment(init=OTHER)

        text = variant(stream)
        assert 'CODECS="avc1.42e01e"' in text

    def test_has_a_bit_rate_from_the_first_part_on(self) -> None:
        """Before any segment is complete, its parts tell; zero is no bandwidth."""
        stream = Stream()
        stream.add_part(size=0)

        assert "BANDWIDTH=1," in variant(stream)


class TestRenditions:
    def test_reports_the_newest_part(self) -> None:
        """LAST-MSN and LAST-PART, of an open segment and of a complete one (4.4.5.4)."""
        stream = Stream()
        stream.add_part()
        assert stream.listing.report("u") == RenditionReport("u", FIRST, 0)
        stream.add_segment(3)
        assert stream.listing.report("u") == RenditionReport("u", FIRST, 3)

    def test_lists_what_it_is_told_of_the_others(self) -> None:
        """Their reports stand in its own playlist, and the longest PART-TARGET counts for PART-HOLD-BACK."""
        stream = Stream()
        stream.add_part()
        report = RenditionReport("../sub/stream.m3u8", 7, 1)
        beside = Beside((report,), PART_TARGET * 2)
        text = stream.listing.media(skipped=0, part_target=PART_TARGET, next_part=1, beside=beside)
        found = parser.parse_media(text)
        assert found.reports == (report,)
        assert found.control is not None
        assert found.control.part_hold_back_s == 3.0

    def test_begins_at_another_discontinuity(self) -> None:
        """As long as nobody has seen a number."""
        stream = Stream()
        stream.listing.begin_at(9)
        assert stream.listing.newest_discontinuity == 9
        stream.add_part()
        assert stream.playlist().discontinuity_sequence == 9


class TestReload:
    def test_has_a_segment_when_it_is_complete(self) -> None:
        """_HLS_msn alone waits for a segment's end (6.2.5.2)."""
        stream = Stream()
        stream.add_part()
        assert not stream.listing.has(FIRST, None)
        stream.complete()
        assert stream.listing.has(FIRST, None)
        assert stream.listing.has(FIRST - 5, None)
        assert not stream.listing.has(FIRST + 1, None)

    def test_has_a_part_when_it_is_there(self) -> None:
        """A part beyond a segment's last is the first of the next one."""
        stream = Stream()
        stream.add_part()
        assert stream.listing.has(FIRST, 0)
        assert not stream.listing.has(FIRST, 1)
        stream.complete()
        assert not stream.listing.has(FIRST, 1)
        stream.add_part()
        assert stream.listing.has(FIRST, 1)
        assert stream.listing.has(FIRST + 1, 0)
        assert stream.listing.has(FIRST - 1, 99)

    @pytest.mark.parametrize(
        ("msn", "part", "is_too_far"),
        [
            (FIRST + 1, None, False),
            (FIRST + 2, None, False),
            (FIRST + 3, None, True),
            (FIRST + 1, 7, False),
            (FIRST + 1, 8, True),
            (FIRST + 2, 5, False),
            (FIRST + 2, 6, True),
            (FIRST, 99, False),
            (FIRST - 1, 99, False),
        ],
    )
    def test_knows_what_is_too_far_ahead(self, msn: int, part: int | None, is_too_far: bool) -> None:
        """Two segments after the last complete one, or 3 / PART-TARGET parts after the last part."""
        stream = Stream()
        stream.add_segment()
        stream.add_part()
        stream.add_part()

        assert stream.listing.is_too_far(msn, part, PART_TARGET) is is_too_far

    def test_long_parts_may_be_three_ahead(self) -> None:
        """With PART-TARGET of a second and more the limit is three parts."""
        stream = Stream()
        stream.add_part()

        assert not stream.listing.is_too_far(FIRST, 3, CLOCK_RATE)
        assert stream.listing.is_too_far(FIRST, 4, CLOCK_RATE)

    def test_counts_from_a_complete_segment_too(self) -> None:
        """Between two segments, the last one is the last complete one."""
        stream = Stream()
        stream.add_segment()

        assert not stream.listing.is_too_far(FIRST + 2, None, PART_TARGET)
        assert stream.listing.is_too_far(FIRST + 3, None, PART_TARGET)


class TestRetention:
    def test_segments_stay_fetchable_for_their_availability_duration(self) -> None:
        """First appearance, plus duration, plus the longest playlist; parts 3 TARGETDURATIONs unlisted."""
        stream = Stream()
        appeared: dict[int, float] = {}
        for _ in range(20):
            segment = stream.add_segment()
            appeared[segment.msn] = stream.now

        assert [s.msn for _, s in stream.forgotten] == list(range(FIRST, FIRST + len(stream.forgotten)))
        assert len(stream.forgotten) >= 12
        for forgotten_at, segment in stream.forgotten:
            assert forgotten_at >= appeared[segment.msn] + 2.0 + 6.0
        assert stream.listing.oldest is not stream.forgotten[-1][1]

    def test_a_camera_that_breaks_all_the_time_is_held_no_longer(self) -> None:
        """Segments of a single part leave as they come, once there are enough of them."""
        stream = Stream()
        held = []

        for _ in range(200):
            stream.add_segment(parts=1, is_discontinuity=True)
            held.append(stream.msn - FIRST - len(stream.forgotten))

        assert max(held[100:]) == max(held[:100]) < 50

    def test_the_oldest_is_listed_while_nothing_was_retired(self) -> None:
        """Init sections are kept for the oldest segment that can be fetched."""
        stream = Stream()
        segment = stream.add_segment()

        assert stream.listing.oldest is segment

    def test_memory_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A camera of enormous bit rate shortens what is kept, and even what is listed."""
        monkeypatch.setattr(listing, "MAX_BYTES", 10_000)
        stream = Stream(window_segments=10)

        for _ in range(10):
            stream.add_segment(size=1_000)

        assert len(stream.playlist().segments) == 2
        assert len(stream.forgotten) == 8

    def test_memory_cannot_take_the_last_segment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One segment beyond all limits is still the only thing there is to see."""
        monkeypatch.setattr(listing, "MAX_BYTES", 10)
        stream = Stream()

        for _ in range(3):
            stream.add_segment()
        stream.add_part()

        assert [len(s.parts) for s in stream.playlist().segments] == [4, 1]


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), max_size=40))
def test_numbers_never_go_back_and_names_never_change(segments: list[tuple[int, bool, bool]]) -> None:
    """Versions of a playlist differ only in what the draft permits (6.2.1), whatever the segments."""
    stream = Stream()
    names: dict[int, tuple[str, float, int]] = {}
    before: MediaPlaylist | None = None
    for parts, is_discontinuity, is_gap in segments:
        for _ in range(parts):
            stream.add_part(is_discontinuity=is_discontinuity, is_gap=is_gap)
        stream.complete()
        now = stream.playlist()
        if before is not None:
            assert now.media_sequence >= before.media_sequence
            assert now.discontinuity_sequence >= before.discontinuity_sequence
            assert now.target_duration_s == before.target_duration_s
        discontinuity = now.discontinuity_sequence
        for i, segment in enumerate(now.segments):
            discontinuity += segment.is_discontinuity
            seen = (segment.uri, segment.duration_s, discontinuity)
            assert names.setdefault(now.media_sequence + i, seen) == seen
        before = now
