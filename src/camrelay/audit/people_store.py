"""The database beside the log: who has which key, pseudonyms and details. It keeps what it is given sealed.

One of two: a SQLite database in the directory of the log, or a PostgreSQL. Details are found by record; which
minutes somebody has any in stands apart, so that forgetting them need not read everybody's.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from camrelay.audit.identity import Sidecar
from camrelay.audit.record import Retention

#: The SQLite database, and where there is a PostgreSQL instead, the one that has the keys of what is there.
DATABASE = "people.db"
KEYS_DATABASE = "people-keys.db"

#: Of the id of a record, drawn at random after the milliseconds.
RANDOM_BITS = 22
#: What ids of one minute (65.5 s) have in common.
MINUTE_BITS = RANDOM_BITS + 16

#: What is kept beside a record: its id, number of the person, class, network, hash of the address, details.
Row = tuple[int, int, Retention, str, str, bytes]
#: That a person has details in records of a minute and a class.
Moment = tuple[int, int, Retention]
#: That a name in the lines is a person's.
Pseudonym = tuple[str, int]


class Newcomer(NamedTuple):
    """Somebody to be known from now on: what finds them, and their name and key, both sealed."""

    lookup: bytes
    name: bytes
    key: bytes


class Known(NamedTuple):
    """What is known of records: by id, by pseudonym, and names and keys of the people in both."""

    sidecars: dict[int, tuple[int, Sidecar]]
    persons: dict[str, int]
    people: dict[int, tuple[bytes, bytes]]


class PeopleStore(Protocol):
    """What a database can do.

    Every method but `open` raises OSError when the database fails; all but it, `close`, `empty_journal` and
    `sweep` belong into a transaction.
    """

    def open(self) -> None:
        """Opens the database, made at first start.

        Raises:
            ConfigError: it cannot be used.
            OSError: it cannot be reached.
        """

    def close(self) -> None:
        """Lets go of the database."""

    def transaction(self, *, writes: bool = True) -> AbstractContextManager[None]:
        """All that is done inside is durable afterwards, or none of it was done."""

    def empty_journal(self) -> bool:
        """Leaves nothing of keys that were overwritten in a journal; False while somebody reads there."""

    def sweep(self) -> None:
        """Lets the space of rows that were deleted be written over."""

    def turn_to(self, day: str) -> bytes | None:
        """Destroys the keys of other days; the sealed key of this one, None if it has none yet."""

    def add_day(self, day: str, key: bytes) -> None:
        """Keeps the sealed key of a day."""

    def find(self, lookups: Sequence[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """Numbers and sealed keys of those who are known."""

    def add_people(self, newcomers: Sequence[Newcomer]) -> list[int]:
        """Adds people who are not known; their numbers."""

    def add(self, names: Sequence[Pseudonym], rows: Sequence[Row], moments: Sequence[Moment]) -> None:
        """Names in the lines, details beside records, and when somebody has any."""

    def known(self, events: Sequence[int], names: Sequence[str]) -> Known:
        """What is kept beside records, and who has pseudonyms."""

    def pseudonyms(self, lookup: bytes) -> set[str]:
        """Every name that somebody has in the lines."""

    def forget(self, lookup: bytes) -> int:
        """Deletes somebody; how many records had details of them, -1 when there is nobody."""

    def note_erasure(self, id: str) -> bool:
        """Whether an erasure is new here; from now on it is not."""

    def purge(self, retention: Retention, before: str, details_before: str) -> int:
        """Deletes details of days, and people who have been in no record of a class since a day; how many."""


def minute_of(event: int) -> int:
    """The minute of a record's id."""
    return event >> MINUTE_BITS


def first_event(day: str) -> int:
    """The least id of a day; every one of an earlier day is below it."""
    midnight = datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC)
    return int(midnight.timestamp()) * 1000 << RANDOM_BITS
