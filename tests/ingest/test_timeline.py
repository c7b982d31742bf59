from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.ingest.timeline import DEFAULT_STEP, MAX_LAG, MAX_STEP, Timeline, signed32
from camrelay.model import CLOCK_RATE

NOW = 1000.0
ZERO = round(NOW * CLOCK_RATE)
STEP = 3600


def place_all(
    timeline: Timeline, times: list[tuple[int | None, float]], **params: object
) -> list[tuple[int, int, bool]]:
    """(pts, dts, discontinuity) of each unit, pts and dts counted from NOW."""
    stamps = [timeline.place(pts, now, **params) for pts, now in times]  # type: ignore[arg-type]
    return [(stamp.pts - ZERO, stamp.dts - ZERO, stamp.discontinuity) for stamp in stamps]


def steady(pts: int, now: float, count: int) -> list[tuple[int | None, float]]:
    return [(pts + i * STEP, now + i * 0.04) for i in range(count)]


def test_steps_are_the_cameras_own() -> None:
    """Arrival jitter does not touch the output."""
    arrivals = [(5000, NOW), (8600, NOW + 0.2), (12_200, NOW + 0.2), (15_000, NOW + 0.21)]

    assert place_all(Timeline(), arrivals) == [
        (0, 0, False),
        (3600, 3600, False),
        (7200, 7200, False),
        (10_000, 10_000, False),
    ]


@pytest.mark.parametrize("bits", [32, 33])
def test_a_wrap_is_no_break(bits: int) -> None:
    """RTP time wraps every 13 hours (RFC 3550 §5.1)."""
    modulus = 1 << bits
    times = [((modulus - STEP + i * STEP) % modulus, NOW + i * 0.04) for i in range(3)]

    assert place_all(Timeline(), times) == [(0, 0, False), (STEP, STEP, False), (2 * STEP, 2 * STEP, False)]


@pytest.mark.parametrize(
    "jump",
    [
        pytest.param(-50_000_000, id="restart at 0"),
        pytest.param(-MAX_STEP - 1, id="back"),
        pytest.param(MAX_STEP + 10_000, id="ahead"),
        pytest.param(3_000_000_000, id="far ahead"),
    ],
)
def test_a_jump_is_a_discontinuity_and_costs_no_time(jump: int) -> None:
    """The unit after it stands where it arrived, and the camera's steps go on from there."""
    before, after = steady(60_000_000, NOW, 2), steady(60_000_000 + STEP + jump, NOW + 0.08, 3)

    stamps = place_all(Timeline(), before + after)

    assert [dts for _, dts, _ in stamps] == [0, STEP, 2 * STEP, 3 * STEP, 4 * STEP]
    assert [is_break for _, _, is_break in stamps] == [False, False, True, False, False]


def test_a_pause_that_really_was_is_no_break() -> None:
    """Cameras with a variable frame rate send one picture in seconds when nothing moves."""
    stamps = place_all(Timeline(), [(0, NOW), (7 * CLOCK_RATE, NOW + 7.0)])

    assert stamps[1] == (7 * CLOCK_RATE, 7 * CLOCK_RATE, False)


@pytest.mark.parametrize("back", [0, -1, -STEP, -MAX_STEP])
def test_equal_and_slightly_backward_times_move_on_by_a_tick(back: int) -> None:
    """Decode times on the output increase strictly, whatever the camera says."""
    stamps = place_all(
        Timeline(), [(90_000, NOW), (90_000 + back, NOW + 0.04), (90_000 + back + STEP, NOW + 0.08)]
    )

    assert stamps == [(0, 0, False), (1, 1, False), (1 + STEP, 1 + STEP, False)]


@pytest.mark.parametrize(("frame_rate", "step"), [(None, DEFAULT_STEP), (15.0, 6000)])
def test_a_missing_time_is_one_picture_later(frame_rate: float | None, step: int) -> None:
    """At the stream's frame rate, or at 25 pictures a second when it does not say."""
    times = [(0, NOW), (None, NOW + 0.04), (None, NOW + 0.04), (3 * step, NOW + 0.2)]

    stamps = place_all(Timeline(), times, frame_rate=frame_rate)

    assert [0, step, 2 * step, 3 * step] == [dts for _, dts, _ in stamps]


def test_a_missing_first_time_is_no_break() -> None:
    """Libraries leave out the first time and count from it."""
    stamps = place_all(Timeline(), [(None, NOW), (STEP, NOW + 0.04)])

    assert stamps == [(0, 0, False), (STEP, STEP, False)]


def test_an_outage_is_as_wide_as_it_was() -> None:
    """After a reconnect the output stands at the real time, and says so once."""
    timeline = Timeline()
    place_all(timeline, steady(0, NOW, 3))
    timeline.restart()

    stamps = place_all(timeline, steady(77_000, NOW + 10.0, 2))

    assert stamps == [(900_000, 900_000, True), (900_000 + STEP, 900_000 + STEP, False)]


def test_a_reconnect_never_goes_back() -> None:
    """An output that ran ahead of the clock waits for nothing and goes on by a tick."""
    timeline = Timeline()
    place_all(timeline, [(0, NOW), (80_000, NOW + 0.01)])
    timeline.restart()

    assert place_all(timeline, [(0, NOW + 0.02)]) == [(80_001, 80_001, True)]


def test_a_camera_that_repeats_its_time_is_brought_back_to_the_clock() -> None:
    """Ticks of 1 would leave the output behind for ever."""
    stamps = place_all(Timeline(), [(0, NOW + i * 0.04) for i in range(300)])

    breaks = [i for i, (_, _, is_break) in enumerate(stamps) if is_break]
    assert breaks == [251]
    assert abs(stamps[251][1] - 251 * STEP) <= 1
    assert 251 * STEP > MAX_LAG


class TestReordering:
    #: I P b b P b b in decoding order; shown in order of pts.
    PTS = (0, 3, 1, 2, 6, 4, 5, 9, 7, 8)

    def test_decode_times_are_the_presentation_times_in_order(self) -> None:
        """Each unit is decoded before it is shown, at even steps (fault F14)."""
        times = [(5000 + n * STEP, NOW + i * 0.04) for i, n in enumerate(self.PTS)]

        stamps = place_all(Timeline(), times, reorder_depth=1)

        assert [i * STEP for i in range(10)] == [dts for _, dts, _ in stamps]
        assert [(n + 1) * STEP for n in self.PTS] == [pts for pts, _, _ in stamps]

    def test_it_begins_again_after_a_break(self) -> None:
        """Times of another timeline do not mix with what waited."""
        before = [(n * STEP, NOW + i * 0.04) for i, n in enumerate((0, 3, 1, 2))]
        after = [((9000 + n) * STEP, NOW + 1 + i * 0.04) for i, n in enumerate((0, 3, 1, 2))]

        stamps = place_all(Timeline(), before + after, reorder_depth=2)

        assert [is_break for _, _, is_break in stamps] == [False] * 4 + [True] + [False] * 3
        assert [CLOCK_RATE + (n + 2) * STEP for n in (0, 3, 1, 2)] == [pts for pts, _, _ in stamps[4:]]

    def test_a_stream_may_start_and_stop_reordering(self) -> None:
        """New parameter sets may change the depth at any unit; the output still increases."""
        timeline = Timeline()
        plain = place_all(timeline, steady(0, NOW, 3))
        deep = place_all(timeline, steady(3 * STEP, NOW + 0.12, 4), reorder_depth=2)
        again = place_all(timeline, steady(7 * STEP, NOW + 0.28, 3))

        times = [dts for _, dts, _ in plain + deep + again]
        assert times == sorted(set(times))
        assert not any(is_break for _, _, is_break in plain + deep + again)


times = st.one_of(st.none(), st.integers(0, 1 << 33), st.sampled_from([0, STEP, 2 * STEP, (1 << 32) - 1]))


@given(
    st.lists(st.tuples(times, st.floats(0, 20), st.integers(0, 3), st.booleans()), max_size=40),
    st.one_of(st.none(), st.floats(0.1, 300)),
)
def test_whatever_a_camera_says_decode_times_increase(
    units: list[tuple[int | None, float, int, bool]], frame_rate: float | None
) -> None:
    """Strictly, with nothing shown before it is decoded, for any timestamps, depths and reconnects."""
    timeline = Timeline()
    now, last = NOW, -1
    for pts, elapsed, depth, reconnects in units:
        now += elapsed
        if reconnects:
            timeline.restart()
        stamp = timeline.place(pts, now, frame_rate=frame_rate, reorder_depth=depth)
        assert last < stamp.dts <= stamp.pts
        last = stamp.dts


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (0, 0),
        (-1, -1),
        ((1 << 32) - 1, -1),
        (1 << 31, -(1 << 31)),
        ((1 << 31) - 1, (1 << 31) - 1),
        (1 << 32, 0),
    ],
)
def test_signed32_takes_the_short_way_round(difference: int, expected: int) -> None:
    """Half the circle is ahead, half behind."""
    assert expected == signed32(difference)


def test_other_times_of_the_camera_are_placed_by_the_last_unit() -> None:
    """So that sound finds its pictures; before the first one there is no place for it."""
    timeline = Timeline()
    assert timeline.at(5000) is None
    assert timeline.live(NOW) == ZERO
    timeline.place(0xFFFFFFFF, NOW)

    assert timeline.at(0xFFFFFFFF - 450) == ZERO - 450
    assert timeline.at(449) == ZERO + 450
    assert timeline.live(NOW + 0.5) == ZERO + CLOCK_RATE // 2
