"""Tests of camrelay.fanout.hls.segmenter."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import AAC, ARRIVED_US, PCMA, PPS, SPS_720P, make_au, make_gop, make_params, make_sound
from camrelay import config
from camrelay.errors import BadParameterSet
from camrelay.fanout.hls import segmenter
from camrelay.fanout.hls.segment import Part, Segment
from camrelay.fanout.hls.segmenter import Segmenter
from camrelay.model import CLOCK_RATE, AccessUnit
from camrelay.tools import mp4

OPTIONS = config.Hls()
OTHER = make_params(sps=SPS_720P)


class Recorder:
    """A segmenter and everything it said."""

    def __init__(self, options: config.Hls = OPTIONS, *, is_first_short: bool = False) -> None:
        self.segments: list[Segment] = []
        self.completed: list[Segment] = []
        self.parts: list[Part] = []
        self.segmenter = Segmenter(
            options, 1000, self._part_added, self.completed.append, is_first_short=is_first_short
        )

    def _part_added(self, segment: Segment, part: Part) -> None:
        if not self.segments or self.segments[-1] is not segment:
            self.segments.append(segment)
        self.parts.append(part)
        assert part is segment.parts[-1]

    def push(self, units: Iterable[AccessUnit]) -> None:
        for au in units:
            self.segmenter.push(au)

    def part_ms(self) -> list[float]:
        return [part.duration * 1000 / CLOCK_RATE for part in self.parts]


def gops(count: int, *, dts: int = 0, units: int = 50, fps: int = 25, **rest: object) -> list[AccessUnit]:
    """That many GOPs, one after the other."""
    step = units * CLOCK_RATE // fps
    return [
        au
        for i in range(count)
        for au in make_gop(dts + i * step, units=units, fps=fps, **rest)  # type: ignore[arg-type]
    ]


def media(segment: Segment) -> tuple[mp4.Fragment, ...]:
    return mp4.read_fragments(b"".join(part.data for part in segment.parts), mp4.read_init(segment.init.data))


class TestParts:
    @pytest.mark.parametrize(
        ("fps", "part_ms", "target_ms"),
        [
            (25, 200, 200),
            (30, 200, 200),
            (15, 200, 200),
            (10, 200, 200),
            (24, pytest.approx(208.3, abs=0.1), pytest.approx(212.5, abs=0.1)),
            (12, pytest.approx(166.7, abs=0.1), pytest.approx(170, abs=0.1)),
            (8, 250, pytest.approx(255, abs=0.1)),
            (2, 500, pytest.approx(510, abs=0.1)),
        ],
    )
    def test_part_target_suits_the_frame_rate(self, fps: int, part_ms: float, target_ms: float) -> None:
        """Whole pictures fill PART-TARGET to 85 % and more, so no picture has to move."""
        recorder = Recorder()

        recorder.push(gops(4, units=2 * fps, fps=fps))

        assert recorder.segmenter.part_target * 1000 / CLOCK_RATE == target_ms
        assert recorder.part_ms()[:3] == [part_ms] * 3

    def test_a_part_is_there_with_its_last_picture(self) -> None:
        """Nobody waits for the next picture to learn how long the last one lasts."""
        recorder = Recorder()
        units = gops(1)

        recorder.push(units[:5])
        assert recorder.parts == []
        recorder.push(units[5:6])
        assert len(recorder.parts) == 1
        recorder.push(units[6:9])
        assert len(recorder.parts) == 1
        recorder.push(units[9:10])
        assert len(recorder.parts) == 2

    def test_after_a_gap_nothing_begins_before_a_key_frame(self) -> None:
        """What comes before it could not be shown."""
        recorder = Recorder()
        units = gops(3)
        recorder.push(units[:50])
        assert not recorder.segmenter.awaits_key

        recorder.segmenter.add_gap()
        count = len(recorder.parts)
        recorder.push(units[60:100])
        assert recorder.segmenter.awaits_key
        assert len(recorder.parts) == count
        recorder.push(units[100:101])
        assert not recorder.segmenter.awaits_key

    def test_parts_with_a_key_frame_are_independent(self) -> None:
        """A part says so when a decoder can start on it, wherever in it the key frame stands."""
        recorder = Recorder(msgspec.structs.replace(OPTIONS, segment_s=4.0))

        recorder.push(gops(3, units=13))

        independent = [part.number for part in recorder.parts if part.is_independent]
        assert independent == [0, 2, 5]

    def test_one_lost_picture_moves_nothing_for_long(self) -> None:
        """A missing picture makes one longer sample; from the next part on all is where it was."""
        recorder = Recorder()
        units = gops(1)
        del units[12]

        recorder.push(units)

        decode_times = [mp4_fragment.decode_time for s in recorder.segments for mp4_fragment in media(s)]
        assert [t for t in decode_times if t is not None][4:6] == [72000, 90000]

    def test_presentation_keeps_its_distance_to_decoding(self) -> None:
        """B-frames: composition offsets survive, also with moved decode times."""
        recorder = Recorder()
        units = [msgspec.structs.replace(au, pts=au.pts + 7200) for au in gops(1)]

        recorder.push(units)

        assert {s.offset for f in media(recorder.segments[0]) for s in f.samples} == {7200}

    def test_a_camera_with_broken_timestamps_fills_no_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Steps of one tick: a part ends when it is full of samples or bytes, and is still legal."""
        monkeypatch.setattr(segmenter, "MAX_PART_BYTES", 5_000)
        recorder = Recorder()
        units = gops(1)

        recorder.push(units)
        before = len(recorder.parts)
        recorder.push(make_au(units[-1].dts + i, size=1000) for i in range(1, 21))

        assert len(recorder.parts) >= before + 3
        assert {round(ms) for ms in recorder.part_ms()} == {200}

    def test_a_camera_that_stamps_nothing_still_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first pictures are not collected without end while the frame rate is unknown."""
        monkeypatch.setattr(segmenter, "MAX_PART_SAMPLES", 10)
        recorder = Recorder()

        recorder.push(make_au(i, is_key=i == 0) for i in range(12))

        assert recorder.segmenter.part_target > 0

    def test_a_pause_is_played_slower_not_skipped(self) -> None:
        """Half a second without pictures: parts keep their shape and the clock catches up."""
        recorder = Recorder()
        units = gops(2)
        late = [msgspec.structs.replace(au, dts=au.dts + 45000, pts=au.pts + 45000) for au in units[20:]]

        recorder.push(units[:20] + late)

        assert all(part.duration <= 18000 for part in recorder.parts)
        segment = recorder.segments[-1]
        end = (media(segment)[0].decode_time or 0) + segment.duration
        assert end == late[-1].dts + 3600

    def test_more_than_a_second_of_pause_is_skipped_on_the_clock_and_in_the_dates(self) -> None:
        """Beyond a second the clock does not try to catch up; the next program date tells."""
        recorder = Recorder()
        units = gops(2)
        late = [
            msgspec.structs.replace(
                au, dts=au.dts + 360000, pts=au.pts + 360000, arrived_us=au.arrived_us + 4_000_000
            )
            for au in units[50:]
        ]

        recorder.push(units[:50] + late)

        first, second = recorder.segments[:2]
        assert first.duration == 180000
        assert not second.is_discontinuity
        assert media(second)[0].decode_time == 180000
        assert second.date_us - first.date_us == pytest.approx(2_000_000 + 4_000_000, abs=200_000)


class TestSegments:
    def test_the_first_may_be_a_single_part(self) -> None:
        """The second then goes on without a key frame, up to the next one."""
        recorder = Recorder(is_first_short=True)

        recorder.push(gops(3))

        assert [len(segment.parts) for segment in recorder.completed] == [1, 9, 10]
        assert not recorder.completed[1].parts[0].is_independent
        assert recorder.completed[2].parts[0].is_independent

    def test_a_segment_ends_at_a_key_frame(self) -> None:
        """Segments are whole GOPs of about the wished length."""
        recorder = Recorder()

        recorder.push(gops(4))

        assert [s.duration for s in recorder.completed] == [2 * CLOCK_RATE] * 3
        assert [s.msn for s in recorder.completed] == [1000, 1001, 1002]
        assert all(s.parts[0].is_independent for s in recorder.completed)

    def test_short_gops_share_a_segment(self) -> None:
        """Half-second GOPs: four make the wished two seconds."""
        recorder = Recorder()

        recorder.push(gops(17, units=15, fps=30))

        assert {s.duration for s in recorder.completed} == {round(1.5 * CLOCK_RATE)}

    def test_a_gop_of_the_target_duration_stays_whole(self) -> None:
        """TARGETDURATION says which GOPs stay whole, jitter included."""
        recorder = Recorder()

        recorder.push(gops(3, units=101))

        assert [s.duration for s in recorder.completed] == [101 * 3600] * 2

    def test_a_longer_gop_is_cut_where_no_key_frame_is(self) -> None:
        """TARGETDURATION holds; the next key frame starts a segment again, however short the last one is."""
        recorder = Recorder()

        recorder.push(gops(3, units=125))

        assert all(round(s.duration / CLOCK_RATE) <= 4 for s in recorder.completed)
        assert [s.parts[0].is_independent for s in recorder.completed] == [True, False, True, False, True]

    def test_an_endless_gop_is_cut_for_ever(self) -> None:
        """Without any further key frame, segments go on."""
        recorder = Recorder()

        recorder.push(gops(1, units=1000))

        assert len(recorder.completed) == 9
        assert {s.duration for s in recorder.completed} == {round(4.4 * CLOCK_RATE)}

    def test_numbers_and_times_add_up(self) -> None:
        """Fragments number themselves and each begins where the one before it ended."""
        recorder = Recorder()

        recorder.push(gops(4, dts=2**33))

        fragments = [f for s in recorder.segments for f in media(s)]
        assert fragments[0].decode_time == 2**33
        assert [f.sequence_number for f in fragments] == list(range(1, len(fragments) + 1))
        assert all((a.decode_time or 0) + a.duration == b.decode_time for a, b in pairwise(fragments))

    def test_program_dates_follow_the_wall_clock_slowly(self) -> None:
        """Arrival jitter moves dates little, a clock that runs differently is followed."""
        recorder = Recorder()
        units = gops(40)
        units = [msgspec.structs.replace(au, arrived_us=au.arrived_us + au.dts // 100) for au in units]

        recorder.push(units)

        first, last = recorder.completed[0], recorder.completed[-1]
        assert first.date_us == ARRIVED_US
        played_us = sum(s.duration for s in recorder.completed[:-1]) * 100 // 9
        assert last.date_us - first.date_us - played_us > 0
        for a, b in pairwise(recorder.completed):
            assert abs(b.date_us - a.date_us - 2_000_000) <= 100_000

    def test_prints_itself_for_logs(self) -> None:
        """Neither bytes nor dates in a log line."""
        recorder = Recorder()
        recorder.push(gops(1))
        assert repr(recorder.segments[0]) == "<Segment 1000 open, 10 parts, 180000 ticks>"
        recorder.segmenter.add_gap()
        assert repr(recorder.segments[0]) == "<Segment 1000 complete, 10 parts, 180000 ticks>"


class TestBreaks:
    def test_nothing_starts_without_a_key_frame(self) -> None:
        """Pictures before the first key frame are of no use to anybody."""
        recorder = Recorder()

        recorder.push([make_au(i * 3600) for i in range(20)])
        recorder.segmenter.add_gap()

        assert recorder.segments == []

    def test_other_parameters_begin_a_discontinuity_with_another_map(self) -> None:
        """A camera that changes its resolution: DISCONTINUITY, new MAP, and nothing lost before it."""
        recorder = Recorder()

        recorder.push(gops(1))
        recorder.push(gops(1, dts=2 * CLOCK_RATE, params=OTHER))

        first, second = recorder.segments
        assert first.is_complete
        assert first.duration == 2 * CLOCK_RATE
        assert not first.is_discontinuity
        assert second.is_discontinuity
        assert [first.init.number, second.init.number] == [0, 1]
        assert first.init.data != second.init.data

    def test_equal_parameters_change_nothing(self) -> None:
        """A worker that starts anew sends an equal value in another object."""
        recorder = Recorder()

        recorder.push(gops(1))
        recorder.push(gops(1, dts=2 * CLOCK_RATE, params=make_params()))

        assert [s.is_discontinuity for s in recorder.segments] == [False, False]

    def test_a_break_waits_for_a_key_frame(self) -> None:
        """After a break in the timeline, pictures that need older ones are dropped."""
        recorder = Recorder()

        recorder.push(gops(1))
        recorder.push([make_au(900_000, discontinuity=True), make_au(903_600)])
        recorder.push(gops(1, dts=910_000))

        first, second = recorder.segments
        assert first.duration == 180_000
        assert second.is_discontinuity
        assert media(second)[0].decode_time == 910_000

    def test_a_break_while_the_frame_rate_is_unknown_starts_over(self) -> None:
        """The first pictures of two timelines tell no frame rate."""
        recorder = Recorder()

        recorder.push(gops(1)[:3])
        recorder.push(gops(1, dts=900_000, fps=10, units=20, discontinuity=True))

        assert recorder.segmenter.step == 9000
        assert media(recorder.segments[0])[0].decode_time == 900_000

    def test_an_outage_is_segments_of_gap_parts(self) -> None:
        """What never came is said part by part; then one discontinuity, and dates that know the outage."""
        recorder = Recorder()

        recorder.push(gops(1)[:-2])
        for _ in range(25):
            recorder.segmenter.add_gap()
        recorder.push([make_au(630_000)])
        recorder.push(gops(1, dts=634_000))

        real, *gaps, resumed = recorder.segments
        assert real.is_complete
        assert not real.is_gap
        assert real.duration == 48 * 3600
        assert [s.is_gap for s in gaps] == [True] * 3
        assert [s.duration for s in gaps] == [180_000, 180_000, 90_000]
        assert all(s.is_complete and all(p.is_gap for p in s.parts) for s in gaps)
        assert resumed.is_discontinuity
        assert resumed.init is real.init
        assert [s.is_discontinuity for s in gaps] == [False] * 3
        assert [s.msn for s in recorder.segments] == [1000, 1001, 1002, 1003, 1004]
        assert resumed.date_us == ARRIVED_US + 634_000 * 100 // 9

    def test_dates_never_go_back_after_a_gap(self) -> None:
        """A wall clock that was set back meanwhile would make dates ambiguous."""
        recorder = Recorder()
        recorder.push(gops(1))
        recorder.segmenter.add_gap()
        end_us = recorder.segments[-1].date_us + 200_000
        back = [msgspec.structs.replace(au, arrived_us=5) for au in gops(1, dts=634_000)]

        recorder.push(back)

        assert recorder.segments[-1].date_us == end_us

    def test_parameters_nobody_can_use_are_refused_and_harm_nothing(self) -> None:
        """The picture is dropped, and the stream goes on when the camera makes sense again."""
        recorder = Recorder()
        recorder.push(gops(1))
        broken = make_params(pps=PPS)
        broken = msgspec.structs.replace(broken, pps=())

        with pytest.raises(BadParameterSet):
            recorder.segmenter.push(make_au(180_000, is_key=True, params=broken))
        recorder.push(gops(1, dts=360_000))

        assert [s.is_discontinuity for s in recorder.segments] == [False, True]
        assert recorder.segments[0].init is recorder.segments[1].init


STEPS = st.sampled_from([1, 300, 1500, 3000, 3600, 9000, 30000])
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("units"), st.integers(1, 40), STEPS),
        st.tuples(st.just("step"), st.integers(1, 10 * CLOCK_RATE), st.booleans()),
        st.tuples(st.just("key"), st.integers(1, 5000), st.booleans()),
        st.tuples(st.just("params"), st.booleans(), st.booleans()),
        st.tuples(st.just("gap"), st.integers(1, 30), st.none()),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(EVENTS, st.sampled_from([100, 200, 500, 1000]), st.sampled_from([1, 2, 4, 6]))
def test_whatever_happens_the_rules_hold(
    events: list[tuple[str, int, int | bool | None]], part_ms: int, target_s: int
) -> None:
    """Any pictures, pauses, jumps, parameters and outages: lengths, numbers, times and dates stay legal."""
    recorder = Recorder(
        config.Hls(part_ms=part_ms, target_duration_s=target_s, segment_s=max(1.0, target_s / 2))
    )
    dts, params, is_other = 0, make_params(), False
    recorder.push(gops(1, units=10))
    dts = 36_000
    for kind, a, b in events:
        units: list[AccessUnit] = []
        if kind == "units":
            units = [make_au(dts + i * int(b or 0), params=params) for i in range(a)]
        elif kind == "step":
            units = [make_au(dts + a, params=params, discontinuity=bool(b))]
        elif kind == "key":
            units = [make_au(dts + a, is_key=True, params=params, discontinuity=bool(b))]
        elif kind == "params":
            is_other = not is_other
            params = OTHER if is_other else make_params()
            units = [make_au(dts + 3600, is_key=bool(b), params=params)]
        else:
            for _ in range(a):
                recorder.segmenter.add_gap()
        recorder.push(units)
        if units:
            dts = units[-1].dts + 1

    target = recorder.segmenter.part_target
    assert recorder.segments == recorder.completed or recorder.segments[:-1] == recorder.completed
    assert [s.msn for s in recorder.segments] == list(range(1000, 1000 + len(recorder.segments)))
    assert [p.number for p in recorder.parts] == list(range(len(recorder.parts)))
    for segment in recorder.segments:
        assert segment.duration == sum(p.duration for p in segment.parts)
        assert math.floor(segment.duration / CLOCK_RATE + 0.5) <= target_s
        for i, part in enumerate(segment.parts):
            assert 0 < part.duration <= target
            is_last = segment.is_complete and i == len(segment.parts) - 1
            assert part.duration >= target * 0.85 or part.is_independent or part.is_gap or is_last
            assert part.is_gap == segment.is_gap
    for previous, segment in pairwise(recorder.segments):
        if not segment.is_gap:
            assert segment.is_discontinuity == (previous.is_gap or segment.is_discontinuity)
            assert segment.init is previous.init or segment.is_discontinuity
        end_us = previous.date_us + previous.duration * 100 // 9
        assert segment.date_us >= end_us - 101_000
    clock = None
    for segment in recorder.segments:
        if segment.is_gap:
            continue
        if segment.is_discontinuity:
            clock = None
        for part, fragment in zip(segment.parts, media(segment), strict=True):
            assert clock in (None, fragment.decode_time)
            assert part.duration == fragment.duration
            clock = (fragment.decode_time or 0) + fragment.duration
            assert part.is_independent == any(sample.is_sync for sample in fragment.samples)
        if segment.is_discontinuity or segment.msn == 1000:
            assert segment.parts[0].is_independent


def test_aac_goes_with_the_pictures_and_is_named() -> None:
    """Its codec beside the video's, its track in the init section, its access units in the parts."""
    parts: list[Part] = []
    segmenter = Segmenter(config.Hls(), 0, lambda segment, part: parts.append(part), lambda segment: None)
    for au in make_gop(0, units=20, params=make_params(audio=AAC)):
        segmenter.push_sound(make_sound(au.pts, data=b"heard"))
        segmenter.push_sound(make_sound(au.pts, data=b"not AAC", params=PCMA))
        segmenter.push(au)

    assert segmenter.init is not None
    assert segmenter.init.codecs.split(",")[1:] == ["mp4a.40.2"]
    assert b"mp4a" in segmenter.init.data
    assert sum(part.data.count(b"heard") for part in parts) > 5
    assert not any(b"not AAC" in part.data for part in parts)


def test_sound_that_is_not_aac_is_not_announced() -> None:
    """The stream is one of pictures, as if the camera had no sound."""
    segmenter = Segmenter(config.Hls(), 0, lambda segment, part: None, lambda segment: None)
    for au in make_gop(0, units=20, params=make_params(audio=PCMA)):
        segmenter.push_sound(make_sound(au.pts, params=PCMA))
        segmenter.push(au)
    assert segmenter.init is not None
    assert segmenter.init.codecs == "avc1.64001e"
    assert b"soun" not in segmenter.init.data


class TestOtherStreams:
    def test_a_break_elsewhere_is_followed_at_the_next_key_frame(self) -> None:
        """Once, with the decode times and the init section that there were; never between key frames."""
        recorder = Recorder(config.Hls(segment_s=1.0, target_duration_s=2))
        recorder.push(gops(2))
        recorder.segmenter.break_at_key_frame()
        recorder.push(gops(2, dts=4 * CLOCK_RATE, units=100))
        recorder.push(gops(1, dts=12 * CLOCK_RATE))

        broken = [segment for segment in recorder.segments if segment.is_discontinuity]
        assert len(broken) == 1
        assert broken[0].parts[0].is_independent
        assert broken[0].init is recorder.segments[0].init
        at = recorder.segments.index(broken[0])
        assert at < len(recorder.segments) - 1

    def test_a_break_of_its_own_is_enough(self) -> None:
        """What was to be followed is done with the camera's own discontinuity."""
        recorder = Recorder()
        recorder.push(gops(2))
        recorder.segmenter.break_at_key_frame()
        recorder.push(gops(1, dts=40 * CLOCK_RATE, discontinuity=True))
        recorder.push(gops(3, dts=42 * CLOCK_RATE))

        assert sum(segment.is_discontinuity for segment in recorder.segments) == 1
