"""Tests of camrelay.fanout.hls.program_dates."""

from __future__ import annotations

import pytest

from camrelay.fanout.hls.program_dates import ProgramDates
from camrelay.model import CLOCK_RATE

ARRIVED_US = 1_700_000_000_000_000


@pytest.fixture
def dates() -> ProgramDates:
    """Of a stream whose decode time 90,000 arrived at ARRIVED_US."""
    dates = ProgramDates()
    dates.begin(0, CLOCK_RATE, ARRIVED_US)
    return dates


def test_a_second_of_decode_time_is_a_second_of_dates(dates: ProgramDates) -> None:
    """90,000 ticks are a second."""
    assert dates.at(CLOCK_RATE) == ARRIVED_US
    assert dates.at(3 * CLOCK_RATE) == ARRIVED_US + 2_000_000


def test_a_new_timeline_begins_no_earlier_than_the_old_one_ended(dates: ProgramDates) -> None:
    """Even if its first picture arrived while, by the dates, the old one still played."""
    dates.begin(3 * CLOCK_RATE, 0, ARRIVED_US + 1_000_000)

    assert dates.at(0) == ARRIVED_US + 2_000_000


def test_skipped_time_passes(dates: ProgramDates) -> None:
    """Decode times do not count it, dates do."""
    dates.skip(2 * CLOCK_RATE)

    assert dates.at(CLOCK_RATE) == ARRIVED_US + 2_000_000


@pytest.mark.parametrize(
    ("error_us", "correction_us"),
    [(80_000, 10_000), (-80_000, -10_000), (60_000_000, 100_000), (-60_000_000, -100_000)],
)
def test_dates_follow_the_wall_clock_by_small_steps(
    dates: ProgramDates, error_us: int, correction_us: int
) -> None:
    """An eighth of the error, and never as much as players would notice."""
    dates.follow(CLOCK_RATE, ARRIVED_US + error_us)

    assert dates.at(CLOCK_RATE) == ARRIVED_US + correction_us
