"""Tests of camrelay.fanout.hls.part_target."""

from __future__ import annotations

import msgspec
import pytest

from builders import SPS_720P, make_au, make_params
from camrelay.fanout.hls.part_target import FirstUnits, PartTarget
from camrelay.model import CLOCK_RATE, AccessUnit

WISH = CLOCK_RATE // 5


def pictures(*times: int) -> list[AccessUnit]:
    """Access units at these decode times, a key frame first."""
    return [make_au(dts, is_key=i == 0) for i, dts in enumerate(times)]


def chosen(units: list[AccessUnit], *, longest: int = 4 * CLOCK_RATE, most: int = 600) -> PartTarget | None:
    """What the last of these makes of them all; those before it are too few."""
    first = FirstUnits(WISH, longest, most)
    assert [first.add(au) for au in units[:-1]] == [None] * (len(units) - 1)
    return first.add(units[-1])


@pytest.mark.parametrize(
    ("fps", "duration"),
    [
        (25, WISH),
        (10, WISH),
        (24, 3_750 * 5 * 51 // 50),
        (2, 45_000 * 51 // 50),
    ],
)
def test_whole_pictures_fill_a_part(fps: int, duration: int) -> None:
    """The wish where pictures fill it, else what a number of them lasts and 2 %."""
    step = CLOCK_RATE // fps
    count = max(4, WISH // step + 2 - (WISH % step == 0))

    assert chosen(pictures(*range(0, count * step, step))) == PartTarget(duration, step)


def test_one_odd_step_is_outvoted() -> None:
    """A camera that hesitates over its second picture is no slower camera."""
    assert chosen(pictures(0, 30_000, 33_600, 37_200)) == PartTarget(WISH, 3_600)


def test_no_part_is_longer_than_the_longest() -> None:
    """A camera with a picture every five seconds has parts of TARGETDURATION."""
    assert chosen(pictures(0, 450_000, 900_000, 1_350_000), longest=360_000) == PartTarget(360_000, 450_000)


def test_pictures_without_times_are_not_collected_without_end() -> None:
    """A camera that stamps all pictures alike is told by their number."""
    assert chosen(pictures(*[0] * 10), most=10) == PartTarget(WISH, 1)


def test_it_begins_with_a_key_frame() -> None:
    """What comes before one is of no use to anybody."""
    first = FirstUnits(WISH, 4 * CLOCK_RATE, 600)

    assert first.add(make_au(0)) is None
    assert first.units == []


@pytest.mark.parametrize("change", [{"discontinuity": True}, {"params": make_params(sps=SPS_720P)}])
def test_what_breaks_off_tells_nothing(change: dict[str, object]) -> None:
    """The pictures of two timelines, or of two pictures' sizes, tell no distance."""
    first = FirstUnits(WISH, 4 * CLOCK_RATE, 600)
    for au in pictures(0, 3_600, 7_200):
        first.add(au)
    other = msgspec.structs.replace(make_au(900_000, is_key=True), **change)

    assert first.add(other) is None
    assert first.units == [other]
