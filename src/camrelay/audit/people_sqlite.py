"""The database of people as a SQLite file beside the log, `people.db`.

Adding rows touches the ends of tables and not a page for everybody who watches. Deleted rows are overwritten.
Everything here blocks; one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import TypeVar

import msgspec

from camrelay.audit import day_keys
from camrelay.audit.day_keys import DayKeys
from camrelay.audit.identity import Sidecar, Trace
from camrelay.audit.people_store import (
    DATABASE,
    MINUTE_BITS,
    Known,
    Moment,
    Newcomer,
    Pseudonym,
    Row,
    first_event,
    minute_of,
)
from camrelay.audit.record import Retention
from camrelay.audit.sqlite_file import SqliteFile

_T = TypeVar("_T")

#: Rows of one statement. SQLite lets go of the interpreter for each, and the thread may then have to wait for
#: the event loop; a statement has at most 32,766 values.
_ROWS_LIMIT = 512

_VERSION = 1
_TABLES = f"""
{day_keys.TABLE}
CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY, lookup BLOB UNIQUE, name BLOB, key BLOB);
CREATE TABLE IF NOT EXISTS pseudonyms (name TEXT PRIMARY KEY, person INTEGER);
CREATE INDEX IF NOT EXISTS pseudonyms_of ON pseudonyms (person);
CREATE TABLE IF NOT EXISTS sidecars (
    event INTEGER PRIMARY KEY, person INTEGER, retention TEXT, network TEXT, address_hash TEXT, blob BLOB
);
CREATE TABLE IF NOT EXISTS moments (
    person INTEGER, minute INTEGER, retention TEXT, PRIMARY KEY (person, minute, retention)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS erasures (id TEXT PRIMARY KEY);
"""

_SIDECARS = """
SELECT event, person, network, address_hash, blob FROM sidecars
WHERE event IN (SELECT value FROM json_each(?))
"""
_PSEUDONYMS = "SELECT name, person FROM pseudonyms WHERE name IN (SELECT value FROM json_each(?))"
_PEOPLE = "SELECT id, name, key FROM people WHERE id IN (SELECT value FROM json_each(?))"
_FIND = "SELECT lookup, id, key FROM people WHERE lookup IN "
_ADD_NAMES = "INSERT OR IGNORE INTO pseudonyms VALUES "
_ADD_DETAILS = "INSERT INTO sidecars VALUES "
_ADD_MOMENTS = "INSERT OR IGNORE INTO moments VALUES "
_FORGET_DETAILS = """
DELETE FROM sidecars WHERE event IN (
    SELECT event FROM moments JOIN sidecars ON event BETWEEN minute << ?2 AND (minute + 1 << ?2) - 1
    WHERE moments.person = ?1 AND sidecars.person = ?1
)
"""
_FORGET = (
    "DELETE FROM moments WHERE person = ?",
    "DELETE FROM pseudonyms WHERE person = ?",
    "DELETE FROM people WHERE id = ?",
)


class SqlitePeople:
    """The database in the directory of a log; as a PeopleStore.

    Args:
        forget: what was remembered of the database may no longer be so.
    """

    def __init__(self, directory: Path, forget: Callable[[], None]) -> None:
        self._file = SqliteFile(directory / DATABASE, _TABLES, _VERSION, forget)
        self._days = DayKeys(self._file)
        self._execute = self._file.execute

    def open(self) -> None:
        self._file.open()

    def close(self) -> None:
        self._file.close()

    def transaction(self, *, writes: bool = True) -> AbstractContextManager[None]:
        return self._file.transaction(writes=writes)

    def empty_journal(self) -> bool:
        return self._file.empty_journal()

    def sweep(self) -> None:
        """Nothing is left to do: what is deleted is overwritten at once."""

    def turn_to(self, day: str) -> bytes | None:
        return self._days.turn_to(day)

    def add_day(self, day: str, key: bytes) -> None:
        self._days.add_day(day, key)

    def find(self, lookups: Sequence[bytes]) -> dict[bytes, tuple[int, bytes]]:
        found = {}
        for some in _parts(lookups):
            for lookup, id, key in self._execute(f"{_FIND}({_places(some)})", *some):
                found[lookup] = (id, key)
        return found

    def add_people(self, newcomers: Sequence[Newcomer]) -> list[int]:
        insert = "INSERT INTO people (lookup, name, key) VALUES (?, ?, ?)"
        return [self._execute(insert, *each).lastrowid or 0 for each in newcomers]

    def add(self, names: Sequence[Pseudonym], rows: Sequence[Row], moments: Sequence[Moment]) -> None:
        self._insert(_ADD_NAMES, names)
        self._insert(_ADD_DETAILS, rows)
        self._insert(_ADD_MOMENTS, moments)

    def known(self, events: Sequence[int], names: Sequence[str]) -> Known:
        sidecars = {
            event: (person, Sidecar(Trace(network, address_hash), blob))
            for event, person, network, address_hash, blob in self._execute(_SIDECARS, _list(events))
        }
        persons: dict[str, int] = dict(self._execute(_PSEUDONYMS, _list(names)))
        ids = sorted({*persons.values(), *(person for person, _ in sidecars.values())})
        people = {id: (name, key) for id, name, key in self._execute(_PEOPLE, _list(ids))}
        return Known(sidecars, persons, people)

    def pseudonyms(self, lookup: bytes) -> set[str]:
        query = "SELECT pseudonyms.name FROM pseudonyms JOIN people ON person = id WHERE lookup = ?"
        return {name for (name,) in self._execute(query, lookup)}

    def forget(self, lookup: bytes) -> int:
        found = self.find([lookup])
        if not found:
            return -1
        person, _ = found[lookup]
        count = self._execute(_FORGET_DETAILS, person, MINUTE_BITS).rowcount
        for statement in _FORGET:
            self._execute(statement, person)
        return count

    def note_erasure(self, id: str) -> bool:
        return self._execute("INSERT OR IGNORE INTO erasures VALUES (?)", id).rowcount > 0

    def purge(self, retention: Retention, before: str, details_before: str) -> int:
        first, details_first = first_event(before), first_event(details_before)
        count = self._execute(
            "DELETE FROM sidecars WHERE event < ? AND retention = ?", details_first, retention
        ).rowcount
        self._execute("DELETE FROM moments WHERE minute < ? AND retention = ?", minute_of(first), retention)
        self._execute("DELETE FROM people WHERE id NOT IN (SELECT person FROM moments)")
        self._execute("DELETE FROM pseudonyms WHERE person NOT IN (SELECT id FROM people)")
        return count

    def _insert(self, insert: str, rows: Sequence[tuple[object, ...]]) -> None:
        for some in _parts(rows):
            values = ", ".join([f"({_places(some[0])})"] * len(some))
            self._execute(insert + values, *chain.from_iterable(some))


def _parts(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for first in range(0, len(values), _ROWS_LIMIT):
        yield values[first : first + _ROWS_LIMIT]


def _places(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _list(values: Sequence[object]) -> bytes:
    return msgspec.json.encode(values)
