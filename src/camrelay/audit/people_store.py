"""The database beside the log: who has which key, pseudonyms and details. It keeps what it is given sealed.

A SQLite database, `people.db`. Details are found by record; which minutes somebody has any in stands apart,
so that adding rows touches the end of a table and not a page for everybody who watches. Deleted rows are
overwritten. Everything here blocks; one thread at a time.
"""

from __future__ import annotations

import datetime
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec

from camrelay.audit.identity import Sidecar, Trace
from camrelay.audit.record import Retention
from camrelay.errors import ConfigError

DATABASE = "people.db"

#: Of the id of a record, drawn at random after the milliseconds.
RANDOM_BITS = 22
#: What ids of one minute (65.5 s) have in common.
_MINUTE_BITS = RANDOM_BITS + 16

#: How long another process, one that erases somebody, may hold the database.
_BUSY_S = 1.0

#: Rows added by one statement. SQLite lets go of the interpreter for each, and the thread may then have to
#: wait for the event loop; a statement has at most 32,766 values.
_ROWS_LIMIT = 512

#: Of the tables; before any is made, so that nobody finds them without it.
_VERSION = 1
_SCHEMA = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY, lookup BLOB UNIQUE, name BLOB, key BLOB);
CREATE TABLE IF NOT EXISTS pseudonyms (name TEXT PRIMARY KEY, person INTEGER);
CREATE INDEX IF NOT EXISTS pseudonyms_of ON pseudonyms (person);
CREATE TABLE IF NOT EXISTS sidecars (
    event INTEGER PRIMARY KEY, person INTEGER, retention TEXT, network TEXT, address_hash TEXT, blob BLOB
);
CREATE TABLE IF NOT EXISTS moments (
    person INTEGER, minute INTEGER, retention TEXT, PRIMARY KEY (person, minute, retention)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS day_keys (day TEXT PRIMARY KEY, key BLOB);
CREATE TABLE IF NOT EXISTS erasures (id TEXT PRIMARY KEY);
"""

_SIDECARS = """
SELECT event, person, network, address_hash, blob FROM sidecars
WHERE event IN (SELECT value FROM json_each(?))
"""
_PSEUDONYMS = "SELECT name, person FROM pseudonyms WHERE name IN (SELECT value FROM json_each(?))"
_PEOPLE = "SELECT id, name, key FROM people WHERE id IN (SELECT value FROM json_each(?))"
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

#: What is kept beside a record: its id, number of the person, class, network, hash of the address, details.
Row = tuple[int, int, Retention, str, str, bytes]
#: That a person has details in records of a minute and a class.
Moment = tuple[int, int, Retention]


class Known(NamedTuple):
    """What is known of records: by id, by pseudonym, and names and keys of the people in both."""

    sidecars: dict[int, tuple[int, Sidecar]]
    persons: dict[str, int]
    people: dict[int, tuple[bytes, bytes]]


def minute_of(event: int) -> int:
    """The minute of a record's id."""
    return event >> _MINUTE_BITS


class PeopleStore:
    """The database in the directory of a log.

    Args:
        forget: what was remembered of the database may no longer be so.

    Every method but `open` raises OSError when the database fails; all but it, `close` and `empty_journal`
    belong into a transaction.
    """

    def __init__(self, directory: Path, forget: Callable[[], None]) -> None:
        self._path = directory / DATABASE
        self._forget = forget
        self._version = -1
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Opens the database, made at first start; ConfigError when it cannot be used."""
        # Only a new file is opened here: closing an old one would drop the locks that this process has on it.
        with suppress(FileExistsError):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            os.close(os.open(self._path, flags, 0o600))
        try:
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
                self._connection.execute(f"PRAGMA {pragma}")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            is_new = self._connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
            if is_new or version == _VERSION:
                self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self.close()
            raise ConfigError(f"{self._path} cannot be used for people ({error.sqlite_errorname})") from None
        if not is_new and version != _VERSION:
            self.close()
            raise ConfigError(
                f"{self._path} was made by another version of camrelay",
                hint="move people.db* elsewhere: records stay, and tell no longer whom they are about",
            )

    def close(self) -> None:
        """Lets go of the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
        """All that is done inside is durable afterwards, or none of it was done."""
        if self._connection is None:
            raise OSError(errno.EBADF, "the database of people is not open")
        try:
            self._connection.execute(begin)
            try:
                # Somebody may have been forgotten by another process.
                (version,) = self._connection.execute("PRAGMA data_version").fetchone()
                if version != self._version:
                    self._version = version
                    self._forget()
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._forget()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"people.db: {error.sqlite_errorname}") from None

    def empty_journal(self) -> bool:
        """Leaves nothing of what was overwritten in the write-ahead log; False while somebody reads there."""
        try:
            (is_busy, *_) = self._execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"people.db: {error.sqlite_errorname}") from None
        return not is_busy

    def turn_to(self, day: str) -> bytes | None:
        """Destroys the keys of other days; the sealed key of this one, None if it has none yet."""
        self._execute("DELETE FROM day_keys WHERE day <> ?", day)
        row = self._execute("SELECT key FROM day_keys WHERE day = ?", day).fetchone()
        return None if row is None else row[0]

    def add_day(self, day: str, key: bytes) -> None:
        """Keeps the sealed key of a day."""
        self._execute("INSERT INTO day_keys VALUES (?, ?)", day, key)

    def person(self, lookup: bytes) -> tuple[int, bytes] | None:
        """Number and sealed key of somebody."""
        found: tuple[int, bytes] | None = self._execute(
            "SELECT id, key FROM people WHERE lookup = ?", lookup
        ).fetchone()
        return found

    def add_person(self, lookup: bytes, name: bytes, key: bytes) -> int:
        """Somebody new; their number."""
        added = self._execute("INSERT INTO people (lookup, name, key) VALUES (?, ?, ?)", lookup, name, key)
        return added.lastrowid or 0

    def add_pseudonym(self, name: str, person: int) -> None:
        """A name in the lines."""
        self._execute("INSERT OR IGNORE INTO pseudonyms VALUES (?, ?)", name, person)

    def add(self, rows: Sequence[Row], moments: Sequence[Moment]) -> None:
        """Details beside records, and when somebody has any."""
        for insert, added in ((_ADD_DETAILS, rows), (_ADD_MOMENTS, moments)):
            for first in range(0, len(added), _ROWS_LIMIT):
                some: Sequence[tuple[object, ...]] = added[first : first + _ROWS_LIMIT]
                places = f"({', '.join('?' * len(some[0]))})"
                self._execute(insert + ", ".join([places] * len(some)), *chain.from_iterable(some))

    def known(self, events: Sequence[int], names: Sequence[str]) -> Known:
        """What is kept beside records, and who has pseudonyms."""
        sidecars = {
            event: (person, Sidecar(Trace(network, address_hash), blob))
            for event, person, network, address_hash, blob in self._execute(_SIDECARS, _list(events))
        }
        persons: dict[str, int] = dict(self._execute(_PSEUDONYMS, _list(names)))
        ids = {*persons.values(), *(person for person, _ in sidecars.values())}
        people = {id: (name, key) for id, name, key in self._execute(_PEOPLE, _list(sorted(ids)))}
        return Known(sidecars, persons, people)

    def pseudonyms(self, lookup: bytes) -> set[str]:
        """Every name that somebody has in the lines."""
        query = "SELECT pseudonyms.name FROM pseudonyms JOIN people ON person = id WHERE lookup = ?"
        return {name for (name,) in self._execute(query, lookup)}

    def forget(self, lookup: bytes) -> int:
        """Deletes somebody; how many records had details of them, -1 when there is nobody."""
        found = self.person(lookup)
        if found is None:
            return -1
        count = self._execute(_FORGET_DETAILS, found[0], _MINUTE_BITS).rowcount
        for statement in _FORGET:
            self._execute(statement, found[0])
        return count

    def note_erasure(self, id: str) -> bool:
        """Whether an erasure is new here; from now on it is not."""
        return self._execute("INSERT OR IGNORE INTO erasures VALUES (?)", id).rowcount > 0

    def purge(self, retention: Retention, before: str, details_before: str) -> int:
        """Deletes details of days, and people who have been in no record of a class since a day; how many."""
        first, details_first = _first_event(before), _first_event(details_before)
        count = self._execute(
            "DELETE FROM sidecars WHERE event < ? AND retention = ?", details_first, retention
        ).rowcount
        self._execute("DELETE FROM moments WHERE minute < ? AND retention = ?", minute_of(first), retention)
        self._execute("DELETE FROM people WHERE id NOT IN (SELECT person FROM moments)")
        self._execute("DELETE FROM pseudonyms WHERE person NOT IN (SELECT id FROM people)")
        return count

    def _execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        assert self._connection is not None
        return self._connection.execute(statement, values)


def _first_event(day: str) -> int:
    """The least id of a day; every one of an earlier day is below it."""
    midnight = datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC)
    return int(midnight.timestamp()) * 1000 << RANDOM_BITS


def _list(values: Sequence[object]) -> bytes:
    return msgspec.json.encode(values)
