"""The events that load the access record: what a gate would tell of people who watch. Pure."""

from __future__ import annotations

from camrelay.audit.record import Record
from camrelay.model import AccessEvent, EventType

#: People who take turns.
_PEOPLE = 1000


def start(number: int, ts_us: int) -> AccessEvent:
    """Somebody begins to watch; `viewing` is the number."""
    person = number % _PEOPLE
    return AccessEvent(
        type=EventType.START,
        ts_us=ts_us,
        camera="front-door",
        outcome="allow",
        protocol="webrtc",
        viewing=f"{number:032x}",
        session=f"{number // 4:032x}",
        subject=f"viewer-{person}",
        address=f"10.{person // 250}.{person % 250}.9",
        agent="Chrome",
    )


def stop(number: int, ts_us: int) -> AccessEvent:
    """And ends."""
    return AccessEvent(
        type=EventType.STOP,
        ts_us=ts_us,
        camera="front-door",
        outcome="allow",
        protocol="webrtc",
        viewing=f"{number:032x}",
        session=f"{number // 4:032x}",
        subject=f"viewer-{number % _PEOPLE}",
        reason="left",
        bytes_sent=number * 1000,
        duration_ms=60_000,
    )


def line(number: int, ts_us: int) -> Record:
    """A start as it stands in the log; what only looks like a commitment is as long as one."""
    return Record(
        type=EventType.START,
        ts_us=ts_us,
        camera="front-door",
        outcome="allow",
        protocol="webrtc",
        viewing=f"{number:032x}",
        session=f"{number // 4:032x}",
        person=f"{number % _PEOPLE:032x}",
        id=f"{number:016x}",
        commitment=f"{number:064x}",
    )
