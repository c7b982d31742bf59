"""The numbers of days that are over, made once from the record and kept without it.

A line per camera and day in `statistics.jsonl`; what was too few to be told is not in there either.
Everything here blocks.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import msgspec

from camrelay.audit.archive import day_of, log_files
from camrelay.audit.people import opened
from camrelay.audit.restriction import restricted
from camrelay.audit.search import search
from camrelay.audit.statistic import Usage, Watched, usage
from camrelay.audit.viewing import pair
from camrelay.durable import replace
from camrelay.model import EventType

STATISTICS = "statistics.jsonl"
#: Two years can be compared.
KEPT_DAYS = 760

#: A viewing that takes longer counts for so long: its day is told once.
_LONGEST_US = 86_400_000_000

#: A day on which nobody watched has a line too, so that it is made once.
_NOBODY = ""


def collect(directory: Path, today: str, url: str = "") -> int:
    """Makes the numbers of days that are over and have none yet; how many days that is.

    Args:
        url: where people are, as `opened` has it.
    """
    known = _read(directory)
    done = {each.day for each in known}
    missing = [day for day in map(day_of, log_files(directory)) if day < today and day not in done]
    for day in missing:
        known += usage(day, _watched(directory, day, url)) or [Usage(day, _NOBODY)]
    if missing:
        oldest = str(datetime.date.fromisoformat(today) - datetime.timedelta(days=KEPT_DAYS))
        kept = sorted((each for each in known if each.day >= oldest), key=lambda each: each.day)
        replace(directory / STATISTICS, b"".join(msgspec.json.encode(each) + b"\n" for each in kept))
    return len(missing)


def told(directory: Path, first: str = "", last: str = "") -> list[Usage]:
    """What is told of the days from `first` to `last`, both included; by day."""
    return [
        each
        for each in _read(directory)
        if each.camera and first <= each.day and (not last or each.day <= last)
    ]


def _read(directory: Path) -> list[Usage]:
    try:
        content = (directory / STATISTICS).read_bytes()
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(line, type=Usage) for line in content.splitlines()]


def _watched(directory: Path, day: str, url: str) -> Iterator[Watched]:
    """The viewings that began in a day, without those of people who are restricted."""
    hidden = restricted(directory)
    every = search(directory, only_day=day)
    starts = [each.record for each in every if each.record.type is EventType.START]
    if not starts:
        return
    since = min(start.ts_us for start in starts)
    horizon = since + _LONGEST_US
    later = (each.record for each in search(directory, from_us=since, to_us=horizon))
    with opened(directory, url) as people:
        viewings = pair(starts, later)
        for viewing, identity in zip(viewings, people.identify(starts), strict=True):
            if identity.subject and people.alias(identity.subject) in hidden:
                continue
            start, stop = viewing.start, viewing.stop
            end_us = start.ts_us + stop.duration_ms * 1000 if stop else horizon
            yield Watched(start.camera, start.person or identity.network, start.ts_us, end_us)
