"""Numbers of days, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit_builders import DAY_US, NOON_US, make_event, write_log
from camrelay.audit import usage as module
from camrelay.audit.archive import log_files
from camrelay.audit.people import opened
from camrelay.audit.restriction import restrict
from camrelay.audit.statistic import Usage
from camrelay.audit.usage import STATISTICS, collect, told
from camrelay.model import AccessEvent, EventType


def viewing(n: int, day: int, subject: str, **more: Any) -> list[AccessEvent]:
    """A start and, ten minutes later, a stop."""
    at = NOON_US + day * DAY_US + n * 1_000_000
    start = make_event(day * 1000 + n, ts_us=at, subject=subject, **more)
    stop = make_event(day * 1000 + n, type=EventType.STOP, ts_us=at + 600_000_000, subject=subject)
    return [start, msgspec.structs.replace(stop, duration_ms=600_000, address="", agent="")]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Twelve people on the first day, five on the second, somebody without a name on the third, and today."""
    events = [
        [event for n in range(12) for event in viewing(n, 0, f"p{n}")],
        [event for n in range(5) for event in viewing(n, 1, f"p{n}")],
        [event for n in range(20) for event in viewing(n, 2, "")],
        viewing(0, 3, "p0"),
    ]
    with opened(tmp_path) as people:
        days = [
            people.separate(sorted(each, key=lambda event: event.ts_us), NOON_US + n * DAY_US)
            for n, each in enumerate(events)
        ]
    write_log(tmp_path, days)
    return tmp_path


FIRST = Usage("2026-11-21", "door", views=10, watch_s=7200, peak=10)


def test_days_that_are_over_are_told(store: Path) -> None:
    """Today is not; visitors of one network who cannot be told apart are one."""
    assert told(store) == []
    assert collect(store, "2026-11-24") == 3
    assert told(store) == [FIRST, Usage("2026-11-22", "door"), Usage("2026-11-23", "door")]
    assert told(store, "2026-11-22", "2026-11-22") == [Usage("2026-11-22", "door")]
    assert (store / STATISTICS).read_bytes().splitlines()[1] == b'{"day":"2026-11-22","camera":"door"}'


def test_case_69_a_day_is_told_once_and_for_all(store: Path) -> None:
    """Whoever leaves afterwards, by erasure or by restriction, does not show what they had added."""
    collect(store, "2026-11-24")
    with opened(store) as people:
        for n in range(12):
            restrict(store, people.alias(f"p{n}"))
            people.erase(f"p{n}")
    assert collect(store, "2026-11-24") == 0
    assert told(store)[0] == FIRST
    for path in log_files(store)[:2]:
        path.unlink()
    assert collect(store, "2026-11-25") == 1
    assert told(store)[0] == FIRST


def test_who_is_restricted_before_is_not_counted(store: Path) -> None:
    """Three of twelve: what is left is too few."""
    with opened(store) as people:
        for n in range(3):
            restrict(store, people.alias(f"p{n}"))
    collect(store, "2026-11-24")
    assert told(store)[0] == Usage("2026-11-21", "door")


def test_numbers_go_after_their_time(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before; a day without viewings is not looked at twice."""
    monkeypatch.setattr(module, "KEPT_DAYS", 1)
    collect(store, "2026-11-24")
    assert [each.day for each in told(store)] == ["2026-11-23"]


def test_a_day_on_which_nobody_watched(tmp_path: Path) -> None:
    """Is no number, and is not made again."""
    event = make_event(1, type=EventType.DENY, outcome="deny", viewing="", reason="no_token")
    with opened(tmp_path) as people:
        write_log(tmp_path, [people.separate([event], NOON_US), []])
    assert collect(tmp_path, "2026-11-22") == 1
    assert collect(tmp_path, "2026-11-22") == 0
    assert told(tmp_path) == []
