"""Weekly schedules, across midnights, weeks and clock changes."""

from __future__ import annotations

import datetime
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.auth.schedule import DAY_MINUTES, Edge, Hours, state, zone_of

UTC = datetime.UTC
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")

WEEKDAYS_8_TO_18 = [Hours(day, 8 * 60, 18 * 60) for day in range(5)]
NIGHT = [Hours(4, 22 * 60, DAY_MINUTES), Hours(5, 0, 6 * 60)]


def us(text: str, zone: datetime.tzinfo = UTC) -> int:
    """Microseconds of UTC of a time on the wall."""
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("now", "is_open", "edge"),
    [
        ("2026-11-20T07:59:59", False, "2026-11-20T08:00"),  # a Friday
        ("2026-11-20T08:00:00", True, "2026-11-20T18:00"),
        ("2026-11-20T17:59:59", True, "2026-11-20T18:00"),
        ("2026-11-20T18:00:00", False, "2026-11-23T08:00"),
        ("2026-11-22T12:00:00", False, "2026-11-23T08:00"),
    ],
)
def test_office_hours(now: str, is_open: bool, edge: str) -> None:
    """Open from the first minute, closed from the last; a weekend is waited through."""
    assert state(WEEKDAYS_8_TO_18, UTC, us(now)) == Edge(is_open, us(edge))
    assert state(WEEKDAYS_8_TO_18, BERLIN, us(now, BERLIN)) == Edge(is_open, us(edge, BERLIN))


def test_without_hours_it_is_always_open() -> None:
    """And has no edge."""
    assert state([], UTC, 0) == Edge(True, None)


def test_hours_that_meet_at_midnight_are_one_opening() -> None:
    """Friday evening to Saturday morning has no edge in between."""
    assert state(NIGHT, UTC, us("2026-11-20T23:30")) == Edge(True, us("2026-11-21T06:00"))
    assert state(NIGHT, UTC, us("2026-11-21T00:00")) == Edge(True, us("2026-11-21T06:00"))
    assert state(NIGHT, UTC, us("2026-11-21T06:00")) == Edge(False, us("2026-11-27T22:00"))


def test_once_a_week_is_found_a_week_ahead() -> None:
    """The next opening may be seven days away."""
    sunday = [Hours(6, 600, 660)]
    assert state(sunday, UTC, us("2026-11-22T11:00")) == Edge(False, us("2026-11-29T10:00"))


def test_all_week_asks_again_in_about_a_week() -> None:
    """It is never closed; its edge lies ahead."""
    week = [Hours(day, 0, DAY_MINUTES) for day in range(7)]
    now = us("2026-11-22T11:00")
    is_open, at_us = state(week, UTC, now)
    assert is_open
    assert at_us is not None
    assert at_us - now > 7 * 86_400 * 1_000_000


def test_the_wall_of_the_camera_counts_when_clocks_change() -> None:
    """Berlin on 2026-03-29 skips 02:00 to 03:00, on 2026-10-25 it shows that hour twice."""
    sunday = [Hours(6, 60, 4 * 60)]
    spring = state(sunday, BERLIN, us("2026-03-29T00:30:00", UTC))
    assert spring == Edge(True, us("2026-03-29T02:00:00", UTC))
    autumn = state(sunday, BERLIN, us("2026-10-25T00:00:00", UTC))
    assert autumn == Edge(True, us("2026-10-25T03:00:00", UTC))


@given(
    st.lists(
        st.builds(Hours, st.integers(0, 6), st.integers(0, DAY_MINUTES - 1), st.integers(1, DAY_MINUTES)),
        min_size=1,
        max_size=6,
    ),
    st.integers(us("2026-01-01T00:00"), us("2027-01-01T00:00")),
    st.sampled_from([UTC, BERLIN]),
)
def test_nothing_changes_before_the_edge(hours: list[Hours], now: int, zone: datetime.tzinfo) -> None:
    """The edge is ahead, the state holds until just before it, and a closed schedule that can open does."""
    is_open, at_us = state(hours, zone, now)
    assert at_us is not None
    assert at_us > now
    for share in (0.25, 0.5, 0.999):
        assert state(hours, zone, now + int((at_us - now) * share)).is_open == is_open
    if not is_open and all(each.start < each.end for each in hours) and zone is UTC:
        assert state(hours, zone, at_us).is_open


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "a\0b", "Europe"])
def test_a_zone_that_is_none_counts_as_utc(name: str) -> None:
    """A camera with a mistyped zone can still be shared."""
    assert zone_of(name) is UTC
    assert zone_of("Europe/Berlin") is BERLIN
