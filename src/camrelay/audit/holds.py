"""Holds: what must be neither purged nor erased for now, because it may be needed as evidence.

A hold has a reason, somebody who approved it, and an end, after which it is as if it had never been. It is on
everybody or on one person, who stands here by alias. A file of its own, `holds.json`. Everything here blocks.
"""

from __future__ import annotations

import datetime
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from camrelay.durable import make_private_directory, replace
from camrelay.errors import AuditError, BadRequest, Held, NotFound

HOLDS = "holds.json"

#: A hold without an end is retention by another name; it can be renewed.
MAX_DAYS = 1096
#: Each is somebody's decision; more of them are a mistake.
MAX_HOLDS = 1000


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """A hold on the days from `first` to `last` ("2026-11-21"), both included; "" is open.

    `alias` is of the person it is on, "" for everybody. It ends after the day `ends`.
    """

    id: str
    reason: str
    approver: str
    ends: str
    first: str = ""
    last: str = ""
    alias: str = ""

    def covers(self, day: str) -> bool:
        """Whether the records of a day are held."""
        return self.first <= day and (not self.last or day <= self.last)


def active(directory: Path, today: str) -> list[Hold]:
    """The holds of today, in the order they were added."""
    return [hold for hold in _read(directory) if today <= hold.ends]


def check(hold: Hold, today: str) -> None:
    """Passes a hold that may be added.

    Raises:
        BadRequest: it has no reason, nobody approved it, or it has no end within MAX_DAYS.
    """
    if not hold.reason.strip() or not hold.approver.strip():
        raise BadRequest("a hold needs a reason and the name of whoever approved it")
    latest = str(datetime.date.fromisoformat(today) + datetime.timedelta(days=MAX_DAYS))
    if not today <= hold.ends <= latest:
        raise BadRequest(f"a hold ends on a day from today to {latest}")
    if hold.last and hold.last < hold.first:
        raise BadRequest("the last day is before the first")


def add(directory: Path, hold: Hold, today: str) -> None:
    """Adds a hold, durable on return; those that have ended go.

    Raises:
        BadRequest: as `check`.
        AuditError: there are MAX_HOLDS.
    """
    check(hold, today)
    with _locked(directory):
        holds = active(directory, today)
        if len(holds) >= MAX_HOLDS:
            raise AuditError("there are too many holds")
        _write(directory, [*holds, hold])


def remove(directory: Path, id: str, today: str) -> Hold:
    """Ends a hold; NotFound when there is none with this id."""
    with _locked(directory):
        holds = active(directory, today)
        found = next((hold for hold in holds if hold.id == id), None)
        if found is None:
            raise NotFound("no such hold")
        _write(directory, [hold for hold in holds if hold is not found])
    return found


def check_person(directory: Path, alias: str, today: str) -> None:
    """Passes when nobody needs what is known of a person.

    Raises:
        Held: a hold is on that person or on everybody.
    """
    for hold in active(directory, today):
        if hold.alias in ("", alias):
            raise Held(f"what is known of this person is held until {hold.ends}: hold {hold.id}")


def _read(directory: Path) -> list[Hold]:
    try:
        return msgspec.json.decode((directory / HOLDS).read_bytes(), type=list[Hold])
    except FileNotFoundError:
        return []
    except msgspec.DecodeError:
        # Whatever was held there must not be purged for want of a file that can be read.
        raise Held(f"{HOLDS} cannot be read") from None


def _write(directory: Path, holds: list[Hold]) -> None:
    replace(directory / HOLDS, msgspec.json.encode(holds))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    make_private_directory(directory)
    fd = os.open(directory / f"{HOLDS}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
