"""Weekly schedules: when something is open, and when that changes next.

Hours are those of a clock on the wall of the camera's time zone. In the night when clocks change, an hour
that the wall does not show begins when the wall has passed it, and one that it shows twice begins the first
time.
"""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

DAY_MINUTES = 24 * 60

#: A schedule repeats after a week; one day more on each side sees hours that end now, and clock changes.
_DAYS_BACK, _DAYS_AHEAD = 1, 8


class Hours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One opening in a week: a day (Monday is 0), from and to in minutes after midnight; 1440 is the next."""

    day: Annotated[int, Meta(ge=0, le=6)]
    start: Annotated[int, Meta(ge=0, le=DAY_MINUTES - 1)]
    end: Annotated[int, Meta(ge=1, le=DAY_MINUTES)]


class Edge(NamedTuple):
    """Whether something is open, and the microsecond of UTC when that may change; None: never."""

    is_open: bool
    at_us: int | None


def zone_of(name: str) -> datetime.tzinfo:
    """The time zone of an IANA name; UTC when there is none of that name."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, or no name at all; which of them depends on the name
        return datetime.UTC


def state(schedule: Sequence[Hours], zone: datetime.tzinfo, now_us: int) -> Edge:
    """Whether a schedule is open at `now_us`, and its next edge; a schedule without hours is always open.

    One that is open all week has its edge a week ahead: whoever asked then asks again.
    """
    if not schedule:
        return Edge(True, None)
    openings = sorted(_openings(schedule, zone, now_us))
    until = now_us
    for start, end in openings:
        # Hours that touch or overlap are one opening.
        if start <= until < end:
            until = end
    if until > now_us:
        return Edge(True, until)
    return Edge(False, min(start for start, _ in openings if start > now_us))


def _openings(schedule: Sequence[Hours], zone: datetime.tzinfo, now_us: int) -> Iterator[tuple[int, int]]:
    today = datetime.datetime.fromtimestamp(now_us / 1e6, zone).date()
    for offset in range(-_DAYS_BACK, _DAYS_AHEAD + 1):
        date = today + datetime.timedelta(days=offset)
        for each in schedule:
            if each.day == date.weekday():
                yield _moment(date, each.start, zone), _moment(date, each.end, zone)


def _moment(date: datetime.date, minutes: int, zone: datetime.tzinfo) -> int:
    wall = datetime.datetime.combine(date, datetime.time()) + datetime.timedelta(minutes=minutes)
    return int(wall.replace(tzinfo=zone).timestamp()) * 1_000_000
