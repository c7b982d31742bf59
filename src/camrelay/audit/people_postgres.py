"""The database of people in a PostgreSQL, in a schema that has the name of the log.

Relays may share the database: each has a schema of its own. The server is shown nothing that is not under the
veil of the person, and the veils lie beside the log: what their file forgets no server remembers. The file is
locked while something is changed, by whichever process, so the server needs no locks of ours. Everything here
blocks; one thread at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

import msgspec

from camrelay.audit.day_keys import DayKeys
from camrelay.audit.identity import NONCE_BYTES, Sidecar, Trace
from camrelay.audit.people_store import (
    MINUTE_BITS,
    Known,
    Moment,
    Newcomer,
    Pseudonym,
    Row,
    first_event,
    minute_of,
)
from camrelay.audit.postgres import SWEEP_S, Postgres
from camrelay.audit.record import Retention
from camrelay.audit.signer import Signer
from camrelay.audit.veils import Veil, Veils
from camrelay.errors import ConfigError

#: People whose veils are kept in memory: some megabytes.
_CACHE_LIMIT = 10_000

_VERSION = 1
#: What PostgreSQL's advisory locks call ours: two processes that start together make the tables once.
_TABLES_LOCK = 0x63616D70
_TABLES = (
    "CREATE TABLE IF NOT EXISTS layout (version int PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS people (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        lookup bytea NOT NULL UNIQUE,
        veiled bytea NOT NULL
    )""",
    "CREATE TABLE IF NOT EXISTS pseudonyms (name text PRIMARY KEY, person bigint NOT NULL)",
    "CREATE INDEX IF NOT EXISTS pseudonyms_of ON pseudonyms (person)",
    """CREATE TABLE IF NOT EXISTS sidecars (
        event bigint PRIMARY KEY, person bigint NOT NULL, retention text NOT NULL, veiled bytea NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS moments (
        person bigint, minute bigint, retention text, PRIMARY KEY (person, minute, retention)
    )""",
    "CREATE TABLE IF NOT EXISTS erasures (id text PRIMARY KEY)",
)

_BY_LOOKUP = "SELECT id, lookup, veiled FROM people WHERE lookup = ANY($1::bytea[])"
_BY_ID = "SELECT id, lookup, veiled FROM people WHERE id = ANY($1::bigint[])"
_ADD_PEOPLE = """
INSERT INTO people (lookup, veiled) SELECT * FROM unnest($1::bytea[], $2::bytea[]) RETURNING lookup, id
"""
_ADD_NAMES = """
INSERT INTO pseudonyms SELECT * FROM unnest($1::text[], $2::bigint[]) ON CONFLICT DO NOTHING
"""
_ADD_DETAILS = """
INSERT INTO sidecars SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[])
"""
_ADD_MOMENTS = """
INSERT INTO moments SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[]) ON CONFLICT DO NOTHING
"""
_FORGET_DETAILS = """
DELETE FROM sidecars USING moments
WHERE moments.person = $1 AND sidecars.person = $1
AND event BETWEEN minute << $2::int AND (minute + 1 << $2::int) - 1
"""
_FORGET = (
    "DELETE FROM moments WHERE person = $1",
    "DELETE FROM pseudonyms WHERE person = $1",
    "DELETE FROM people WHERE id = $1",
)


class PostgresPeople:
    """The database of a log; as a PeopleStore.

    Args:
        directory: of the log.
        url: of the database, as SQLAlchemy has it; ConfigError when it is none.
        forget: what was remembered of the database may no longer be so.
    """

    def __init__(self, directory: Path, url: str, forget: Callable[[], None]) -> None:
        self._directory = directory
        self._forget = forget
        self._veils = Veils(directory, self._forget_all)
        self._days = DayKeys(self._veils.file)
        self._server = Postgres(url, "audit.url")
        #: By number of the person.
        self._known: dict[int, Veil] = {}

    def open(self) -> None:
        name = Signer.load(self._directory).name
        self._veils.file.open()
        try:
            self._server.open(name)
            with self._server.transaction():
                self._server.fetch("SELECT pg_advisory_xact_lock($1)", _TABLES_LOCK)
                self._make_tables(name)
        except (OSError, ConfigError):
            self.close()
            raise

    def close(self) -> None:
        self._server.close()
        self._veils.file.close()

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Iterator[None]:
        # The server's ends first. When the file's then fails, there are people without a veil: nobody.
        with self._veils.file.transaction(writes=writes), self._server.transaction():
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            yield

    def empty_journal(self) -> bool:
        return self._veils.file.empty_journal()

    def sweep(self) -> None:
        for table in ("people", "pseudonyms", "sidecars", "moments"):
            self._server.run(f"VACUUM {table}", timeout_s=SWEEP_S)

    def turn_to(self, day: str) -> bytes | None:
        return self._days.turn_to(day)

    def add_day(self, day: str, key: bytes) -> None:
        self._days.add_day(day, key)

    def find(self, lookups: Sequence[bytes]) -> dict[bytes, tuple[int, bytes]]:
        found = {}
        people = self._people(_BY_LOOKUP, list(lookups))
        for id, (lookup, _, key) in people.items():
            found[lookup] = (id, key)
        return found

    def add_people(self, newcomers: Sequence[Newcomer]) -> list[int]:
        if not newcomers:
            return []
        lookups = [each.lookup for each in newcomers]
        veils = self._veils.make(lookups)
        veiled = [
            veil.close(msgspec.msgpack.encode((each.name, each.key)), "person", nonce)
            for each, veil, nonce in zip(newcomers, veils, _nonces(len(newcomers)), strict=True)
        ]
        # Whoever is here and has no veil.
        self._server.run("DELETE FROM people WHERE lookup = ANY($1::bytea[])", lookups)
        ids = dict(self._server.fetch(_ADD_PEOPLE, lookups, veiled))
        for lookup, veil in zip(lookups, veils, strict=True):
            self._known[ids[lookup]] = veil
        return [ids[lookup] for lookup in lookups]

    def add(self, names: Sequence[Pseudonym], rows: Sequence[Row], moments: Sequence[Moment]) -> None:
        if names:
            self._server.run(_ADD_NAMES, *_columns(names))
        if rows:
            veils = self._veils_of({person for _, person, *_ in rows})
            encode = msgspec.msgpack.encode
            veiled = [
                (event, person, retention, veils[person].close(encode(kept), str(event), nonce))
                for (event, person, retention, *kept), nonce in zip(rows, _nonces(len(rows)), strict=True)
            ]
            self._server.run(_ADD_DETAILS, *_columns(veiled))
        if moments:
            self._server.run(_ADD_MOMENTS, *_columns(moments))

    def known(self, events: Sequence[int], names: Sequence[str]) -> Known:
        rows = self._server.fetch(
            "SELECT event, person, veiled FROM sidecars WHERE event = ANY($1::bigint[])", list(events)
        )
        query = "SELECT name, person FROM pseudonyms WHERE name = ANY($1::text[])"
        persons = dict(self._server.fetch(query, list(names)))
        ids = sorted({*persons.values(), *(person for _, person, _ in rows)})
        people = self._people(_BY_ID, ids)
        sidecars = {}
        for event, person, veiled in rows:
            content = self._known[person].open(veiled, str(event)) if person in people else None
            if content is not None:
                network, address_hash, blob = msgspec.msgpack.decode(content, type=tuple[str, str, bytes])
                sidecars[event] = (person, Sidecar(Trace(network, address_hash), blob))
        return Known(sidecars, persons, {id: (name, key) for id, (_, name, key) in people.items()})

    def pseudonyms(self, lookup: bytes) -> set[str]:
        query = "SELECT name FROM pseudonyms JOIN people ON person = id WHERE lookup = $1"
        return {name for (name,) in self._server.fetch(query, lookup)}

    def forget(self, lookup: bytes) -> int:
        self._veils.destroy([lookup])
        rows = self._server.fetch("SELECT id FROM people WHERE lookup = $1", lookup)
        if not rows:
            return -1
        ((person,),) = rows
        count = self._server.run(_FORGET_DETAILS, person, MINUTE_BITS, timeout_s=SWEEP_S)
        for statement in _FORGET:
            self._server.run(statement, person, timeout_s=SWEEP_S)
        return count

    def note_erasure(self, id: str) -> bool:
        # Either may have been put back from a backup without the other.
        is_new = self._veils.note_erasure(id)
        return self._server.run("INSERT INTO erasures VALUES ($1) ON CONFLICT DO NOTHING", id) > 0 or is_new

    def purge(self, retention: Retention, before: str, details_before: str) -> int:
        run, first = self._server.run, first_event(before)
        old = "DELETE FROM sidecars WHERE event < $1 AND retention = $2"
        count = run(old, first_event(details_before), retention, timeout_s=SWEEP_S)
        old = "DELETE FROM moments WHERE minute < $1 AND retention = $2"
        run(old, minute_of(first), retention, timeout_s=SWEEP_S)
        nobody = (
            "DELETE FROM people WHERE NOT EXISTS (SELECT FROM moments WHERE person = id) RETURNING lookup"
        )
        gone = self._server.fetch(nobody, timeout_s=SWEEP_S)
        self._veils.destroy(lookup for (lookup,) in gone)
        nameless = "DELETE FROM pseudonyms WHERE NOT EXISTS (SELECT FROM people WHERE id = person)"
        run(nameless, timeout_s=SWEEP_S)
        return count

    def _make_tables(self, schema: str) -> None:
        if not self._server.fetch("SELECT 1 FROM pg_namespace WHERE nspname = $1", schema):
            self._server.run(f'CREATE SCHEMA "{schema}"')
        if self._server.fetch("SELECT to_regclass('layout')") == [(None,)]:
            for table in _TABLES:
                self._server.run(table)
            self._server.run("INSERT INTO layout VALUES ($1)", _VERSION)
        ((version,),) = self._server.fetch("SELECT version FROM layout")
        if version != _VERSION:
            raise ConfigError(f"the schema {schema} of audit.url was made by another version of camrelay")

    def _people(self, query: str, values: Sequence[object]) -> dict[int, tuple[bytes, bytes, bytes]]:
        """Of everybody who has a veil what finds them, their name and their key, by number."""
        rows = self._server.fetch(query, values)
        veils = self._veils.find(lookup for _, lookup, _ in rows)
        found = {}
        for id, lookup, veiled in rows:
            veil = veils.get(lookup)
            content = veil.open(veiled, "person") if veil is not None else None
            if veil is not None and content is not None:
                name, key = msgspec.msgpack.decode(content, type=tuple[bytes, bytes])
                found[id] = (lookup, name, key)
                self._known[id] = veil
        return found

    def _veils_of(self, persons: Set[int]) -> Mapping[int, Veil]:
        missing = persons - self._known.keys()
        if missing:
            self._people(_BY_ID, sorted(missing))
        return self._known

    def _forget_all(self) -> None:
        self._known.clear()
        self._forget()


def _nonces(count: int) -> list[bytes]:
    # At once: every call lets go of the interpreter, and the event loop takes its time.
    drawn = os.urandom(count * NONCE_BYTES)
    return [drawn[first : first + NONCE_BYTES] for first in range(0, len(drawn), NONCE_BYTES)]


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
