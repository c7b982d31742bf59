"""Who the records are about, beside the log: its lines name nobody, and stay true when somebody is forgotten.

A person has a key of their own. It makes their pseudonym in the lines, another one each month, and seals what
could identify them. Addresses are hashed with a key of the day. Where a key is destroyed, pseudonyms, hashes
and sealed details that it made are noise. Visitors without a name share a key of the day.

A SQLite database of its own, `people.db`, with every key in it sealed by the file `people.key`. Deleted rows
are overwritten. Everything here blocks; one thread at a time.
"""

from __future__ import annotations

import datetime
import errno
import functools
import hashlib
import hmac
import ipaddress
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from camrelay.audit.identity import (
    KEY_BYTES,
    Details,
    IpMode,
    Sidecar,
    Trace,
    cipher,
    details,
    pseudonym,
    trace,
    unseal,
)
from camrelay.audit.record import Record
from camrelay.audit.sidecars import Ids, Sidecars
from camrelay.errors import ChainBroken, ConfigError
from camrelay.model import AccessEvent, EventType
from camrelay.sealing import Seal, load_key

DATABASE = "people.db"
KEY = "people.key"

#: People whose keys, and addresses whose hashes, are kept in memory: some megabytes.
_CACHE_LIMIT = 10_000
#: How long another process, one that erases somebody, may hold the database.
_BUSY_S = 1.0
_DAY_US = 86_400_000_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY, lookup BLOB UNIQUE, name BLOB, key BLOB);
CREATE TABLE IF NOT EXISTS pseudonyms (name TEXT PRIMARY KEY, person INTEGER);
CREATE INDEX IF NOT EXISTS pseudonyms_of ON pseudonyms (person);
CREATE TABLE IF NOT EXISTS sidecars (
    event TEXT PRIMARY KEY, person INTEGER, day TEXT, network TEXT, address_hash TEXT, blob BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sidecars_of ON sidecars (person);
CREATE TABLE IF NOT EXISTS day_keys (day TEXT PRIMARY KEY, key BLOB);
CREATE TABLE IF NOT EXISTS erasures (id TEXT PRIMARY KEY);
"""

_SIDECARS = """
SELECT event, person, network, address_hash, blob FROM sidecars
WHERE event IN (SELECT value FROM json_each(?))
"""
_PSEUDONYMS = "SELECT name, person FROM pseudonyms WHERE name IN (SELECT value FROM json_each(?))"
_PEOPLE = """
SELECT id, name, key FROM people
WHERE id IN (SELECT person FROM sidecars WHERE event IN (SELECT value FROM json_each(?)))
   OR id IN (SELECT person FROM pseudonyms WHERE name IN (SELECT value FROM json_each(?)))
"""


@contextmanager
def opened(directory: Path) -> Iterator[People]:
    """The people of a log, for a look or an erasure beside a running relay."""
    people = People(directory)
    people.open()
    try:
        yield people
    finally:
        people.close()


class Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of who a record is about; nothing once they were forgotten."""

    subject: str = ""
    network: str = ""
    address: str = ""
    agent: str = ""


class _Person:
    def __init__(self, id: int, key: bytes) -> None:
        self.id = id
        self.key = key
        self.cipher = cipher(key)
        #: By month.
        self.pseudonyms: dict[str, str] = {}


class People:
    """The people of a log.

    Args:
        directory: of the log.
        mode: what is kept of addresses.

    Every method but `open` raises OSError when the database fails.
    """

    def __init__(self, directory: Path, mode: IpMode = IpMode.KEYED) -> None:
        self._directory = directory
        self._mode = mode
        self._cache: dict[str, _Person] = {}
        self._origins: dict[tuple[str, str], tuple[Details, Trace]] = {}
        self._ids = Ids()
        self._version = -1
        self._day = ""
        self._day_key = b""
        self._has_turned = False
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Opens the database, made at first start; ConfigError when it or its key cannot be used."""
        key = load_key(self._directory / KEY)
        self._seal = Seal(key)
        self._lookup_key = hmac.digest(key, b"camrelay lookup", "sha256")
        # Only a new file is opened here: closing an old one would drop the locks that this process has on it.
        with suppress(FileExistsError):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            os.close(os.open(self._directory / DATABASE, flags, 0o600))
        try:
            self._database = sqlite3.connect(
                self._directory / DATABASE, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
                self._database.execute(f"PRAGMA {pragma}")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self.close()
            raise ConfigError(
                f"{self._directory / DATABASE} cannot be used for people ({error.sqlite_errorname})"
            ) from None

    def close(self) -> None:
        """Lets go of the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def separate(self, events: Sequence[AccessEvent], now_us: int) -> list[Record]:
        """The lines of events, without the people in them, who are durable beside the log on return."""
        sidecars = Sidecars(self._ids.take(len(events), now_us))
        with self._transaction() as database:
            self._turn_to(_day(now_us))
            records = [self._record(event, sidecars) for event in events]
            sidecars.write(database)
        if self._has_turned:
            self._has_turned = not self._empty_journal()
        return records

    def identify(self, records: Sequence[Record]) -> list[Identity]:
        """Who records are about, one for one, as far as it is still known.

        Raises:
            ChainBroken: what lies beside a record is not what it was made with.
        """
        events = msgspec.json.encode([record.id for record in records if record.id])
        names = msgspec.json.encode([record.person for record in records if record.person])
        with self._transaction("BEGIN") as database:
            sidecars = {
                event: (person, Sidecar(Trace(network, address_hash), blob))
                for event, person, network, address_hash, blob in database.execute(_SIDECARS, (events,))
            }
            persons = dict(database.execute(_PSEUDONYMS, (names,)))
            people = {id: (name, key) for id, name, key in database.execute(_PEOPLE, (events, names))}
        found = []
        for record in records:
            person, sidecar = sidecars.get(record.id, (persons.get(record.person), None))
            found.append(self._identity(record, sidecar, *people[person]) if person in people else Identity())
        return found

    def pseudonyms(self, subject: str) -> set[str]:
        """Every name that somebody has in the lines; empty when nothing is known of them."""
        with self._transaction("BEGIN") as database:
            found = database.execute(
                "SELECT pseudonyms.name FROM pseudonyms JOIN people ON person = id WHERE lookup = ?",
                (self._lookup(subject),),
            )
            return {name for (name,) in found}

    def erase(self, subject: str) -> int:
        """Forgets somebody: their key, pseudonyms and everything that was kept beside their records.

        Returns:
            How many records no longer tell who they are about; -1 when nobody was known by that name.
        """
        with self._transaction() as database:
            count = self._forget(database, self._lookup(subject))
        self._leave_no_trace()
        return count

    def alias(self, subject: str) -> str:
        """What files beside the database call somebody; without `people.key` nobody knows whom they mean."""
        return self._lookup(subject).hex()

    def carry_out(self, erasures: Mapping[str, str]) -> int:
        """Forgets whoever has these aliases, by the id of their erasure, unless it was carried out here.

        An old copy of the database knows people again who were forgotten since, and none of these ids;
        somebody who came back after an erasure is not forgotten by it a second time.

        Returns:
            How many records no longer tell who they are about; -1 when nobody was known by those names.
        """
        counts = [-1]
        with self._transaction() as database:
            for id, alias in erasures.items():
                if database.execute("INSERT OR IGNORE INTO erasures VALUES (?)", (id,)).rowcount:
                    counts.append(self._forget(database, bytes.fromhex(alias)))
        self._leave_no_trace()
        return -1 if max(counts) < 0 else sum(count for count in counts if count > 0)

    def purge(self, before: str) -> int:
        """Forgets what was kept beside the records of earlier days, and people of whom nothing else is known.

        Returns:
            How many records no longer tell who they are about.
        """
        with self._transaction() as database:
            count = database.execute("DELETE FROM sidecars WHERE day < ?", (before,)).rowcount
            database.execute("DELETE FROM people WHERE id NOT IN (SELECT person FROM sidecars)")
            database.execute("DELETE FROM pseudonyms WHERE person NOT IN (SELECT id FROM people)")
        self._leave_no_trace()
        return count

    def _forget(self, database: sqlite3.Connection, lookup: bytes) -> int:
        person = database.execute("SELECT id FROM people WHERE lookup = ?", (lookup,)).fetchone()
        if person is None:
            return -1
        self._cache.clear()
        count = database.execute("DELETE FROM sidecars WHERE person = ?", person).rowcount
        database.execute("DELETE FROM pseudonyms WHERE person = ?", person)
        database.execute("DELETE FROM people WHERE id = ?", person)
        return count

    @contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        database = self._database
        if database is None:
            raise OSError(errno.EBADF, "the database of people is not open")
        try:
            database.execute(begin)
            try:
                # Somebody may have been forgotten by another process: what we remember may be no longer so.
                (version,) = database.execute("PRAGMA data_version").fetchone()
                if version != self._version:
                    self._version = version
                    self._forget_all()
                yield database
                database.execute("COMMIT")
            except BaseException:
                self._forget_all()
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"people.db: {error.sqlite_errorname}") from None

    def _forget_all(self) -> None:
        """Of what the database knows better."""
        self._cache.clear()
        self._day = ""

    def _leave_no_trace(self) -> None:
        if not self._empty_journal():
            raise OSError(errno.EBUSY, "people.db is being read: old pages are left; repeat")

    def _empty_journal(self) -> bool:
        """Leaves nothing of what was overwritten in the write-ahead log; False while somebody reads there."""
        assert self._database is not None
        try:
            (is_busy, *_) = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"people.db: {error.sqlite_errorname}") from None
        return not is_busy

    def _turn_to(self, day: str) -> None:
        """Destroys the address keys of other days."""
        if day == self._day:
            return
        assert self._database is not None
        self._database.execute("DELETE FROM day_keys WHERE day <> ?", (day,))
        row = self._database.execute("SELECT key FROM day_keys WHERE day = ?", (day,)).fetchone()
        if row is None:
            self._day_key = os.urandom(KEY_BYTES)
            sealed = self._seal.close(self._day_key.hex(), f"day/{day}")
            self._database.execute("INSERT INTO day_keys VALUES (?, ?)", (day, sealed))
        else:
            self._day_key = bytes.fromhex(self._seal.open(row[0], f"day/{day}"))
        # Visitors without a name have a new key as well.
        self._cache.pop("", None)
        self._origins.clear()
        self._day, self._has_turned = day, True

    def _record(self, event: AccessEvent, sidecars: Sidecars) -> Record:
        # The end of a viewing must not bring somebody back who was forgotten while it ran.
        is_end = event.type is EventType.STOP
        person = self._person(event.subject, may_be_new=not is_end)
        name = id = commitment = ""
        if person is not None and event.subject:
            name = self._pseudonym(person, _month(event.ts_us))
        if person is not None and not is_end and (event.subject or event.address or event.agent):
            sealed, clear = self._origin(event.address, event.agent)
            id, commitment = sidecars.add(sealed, clear, person.id, person.cipher, self._day)
        return Record(
            type=event.type,
            ts_us=event.ts_us,
            camera=event.camera,
            outcome=event.outcome,
            protocol=event.protocol,
            viewing=event.viewing,
            session=event.session,
            person=name,
            reason=event.reason,
            bytes_sent=event.bytes_sent,
            duration_ms=event.duration_ms,
            count=event.count,
            id=id,
            commitment=commitment,
            about=self._about(event),
            target=event.target,
        )

    def _origin(self, text: str, agent: str) -> tuple[Details, Trace]:
        """What is kept of where an event came from, to be sealed and in the clear."""
        origin = self._origins.get((text, agent))
        if origin is None:
            address = ipaddress.ip_address(text) if text else None
            origin = (
                details(address, self._mode, user_agent=agent),
                trace(address, self._mode, self._day_key),
            )
            if len(self._origins) >= _CACHE_LIMIT:
                self._origins.clear()
            self._origins[text, agent] = origin
        return origin

    def _about(self, event: AccessEvent) -> str:
        """The pseudonym of whom an event concerns; nobody becomes known by that."""
        person = self._person(event.about, may_be_new=False) if event.about else None
        return "" if person is None else self._pseudonym(person, _month(event.ts_us))

    def _person(self, subject: str, *, may_be_new: bool) -> _Person | None:
        assert self._database is not None
        if (known := self._cache.get(subject)) is not None:
            return known
        lookup = self._lookup(subject) if subject else self._lookup("", self._day)
        row = self._database.execute("SELECT id, key FROM people WHERE lookup = ?", (lookup,)).fetchone()
        if row is not None:
            person = _Person(row[0], bytes.fromhex(self._seal.open(row[1], "person/key")))
        elif may_be_new:
            key = os.urandom(KEY_BYTES)
            sealed = (
                self._seal.close(_text(subject), "person/name"),
                self._seal.close(key.hex(), "person/key"),
            )
            added = self._database.execute(
                "INSERT INTO people (lookup, name, key) VALUES (?, ?, ?)", (lookup, *sealed)
            )
            person = _Person(added.lastrowid or 0, key)
        else:
            return None
        if len(self._cache) >= _CACHE_LIMIT:
            self._cache.clear()
        self._cache[subject] = person
        return person

    def _pseudonym(self, person: _Person, month: str) -> str:
        assert self._database is not None
        name = person.pseudonyms.get(month)
        if name is None:
            name = person.pseudonyms[month] = pseudonym(person.key, month)
            self._database.execute("INSERT OR IGNORE INTO pseudonyms VALUES (?, ?)", (name, person.id))
        return name

    def _lookup(self, subject: str, day: str = "") -> bytes:
        return hmac.digest(self._lookup_key, f"{day}\0{_text(subject)}".encode(), hashlib.sha256)

    def _identity(self, record: Record, sidecar: Sidecar | None, name: bytes, key: bytes) -> Identity:
        subject = self._seal.open(name, "person/name")
        if sidecar is None:
            return Identity(subject)
        subject_key = bytes.fromhex(self._seal.open(key, "person/key"))
        commitment = _digest(record.commitment)
        kept = unseal(sidecar, commitment, event_id=record.id, cipher=cipher(subject_key))
        return Identity(subject, sidecar.trace.network, kept.ip, kept.user_agent)


def _digest(commitment: str) -> bytes:
    try:
        return bytes.fromhex(commitment)
    except ValueError:
        raise ChainBroken("a record's commitment is none") from None


def _text(subject: str) -> str:
    # Lone surrogates have no encoding.
    return subject.encode(errors="replace").decode()


def _day(us: int) -> str:
    return _date(us // _DAY_US)


def _month(us: int) -> str:
    return _day(us)[:7]


@functools.lru_cache(maxsize=16)
def _date(days: int) -> str:
    return str(datetime.date(1970, 1, 1) + datetime.timedelta(days))
