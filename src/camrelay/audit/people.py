"""Who the records are about, beside the log: its lines name nobody, and stay true when somebody is forgotten.

A person has a key of their own. It makes their pseudonym in the lines, another one each month, and seals what
could identify them. Addresses are hashed with a key of the day. Where a key is destroyed, pseudonyms, hashes
and sealed details that it made are noise. Visitors without a name share a key of the day.

Names and keys are sealed by the file `people.key` before the database sees them. Everything here blocks; one
thread at a time.
"""

from __future__ import annotations

import datetime
import errno
import functools
import hashlib
import hmac
import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from camrelay.audit.identity import (
    KEY_BYTES,
    IpMode,
    Origin,
    cipher,
    details,
    pseudonym,
    trace,
    unseal,
)
from camrelay.audit.people_postgres import PostgresPeople
from camrelay.audit.people_sqlite import SqlitePeople
from camrelay.audit.people_store import DATABASE, KEYS_DATABASE, Known, Newcomer, PeopleStore
from camrelay.audit.record import REGISTRY, Record, Retention
from camrelay.audit.sidecars import Ids, Person, Sidecars
from camrelay.errors import ChainBroken, ConfigError
from camrelay.model import AccessEvent, EventType
from camrelay.sealing import Seal, load_key

KEY = "people.key"

#: People whose keys, and addresses whose hashes, are kept in memory: some megabytes.
_CACHE_LIMIT = 10_000
_DAY_US = 86_400_000_000


@contextmanager
def opened(directory: Path, url: str = "") -> Iterator[People]:
    """The people of a log, for a look or an erasure beside a running relay."""
    people = People(directory, url=url)
    people.open()
    try:
        yield people
    finally:
        people.close()


def alias_of(directory: Path, subject: str) -> str:
    """What files beside the database call somebody; without `people.key` nobody knows whom they mean."""
    return _lookup(_lookup_key(load_key(directory / KEY)), subject).hex()


class Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of who a record is about; nothing once they were forgotten."""

    subject: str = ""
    network: str = ""
    address: str = ""
    agent: str = ""


class People:
    """The people of a log.

    Args:
        directory: of the log.
        mode: what is kept of addresses.
        url: of the PostgreSQL that has the database, "" when it is a SQLite file in the directory.

    Every method raises OSError when the database fails.
    """

    def __init__(self, directory: Path, mode: IpMode = IpMode.KEYED, url: str = "") -> None:
        self._directory = directory
        self._mode = mode
        self._cache: dict[str, Person] = {}
        #: Who may become known by the batch at hand.
        self._newcomers: dict[str, Person] = {}
        self._origins: dict[tuple[str, str], Origin] = {}
        self._ids = Ids()
        self._day = ""
        self._day_key = b""
        self._has_turned = False
        self._store: PeopleStore
        if url:
            self._store = PostgresPeople(directory, url, self._forget_all)
            self._strange = directory / DATABASE
        else:
            self._store = SqlitePeople(directory, self._forget_all)
            self._strange = directory / KEYS_DATABASE

    def open(self) -> None:
        """Opens the database, made at first start.

        Raises:
            ConfigError: it or its key cannot be used, or people are in the other kind of database: nobody
                would erase them there.
            OSError: it cannot be reached.
        """
        key = load_key(self._directory / KEY)
        self._seal = Seal(key)
        self._lookup_key = _lookup_key(key)
        if self._strange.exists():
            raise ConfigError(
                f"audit.url does not fit {self._strange}: people are kept elsewhere",
                hint=f"set it as it was, or move {self._strange.name}* away:"
                " records stay, and tell no longer whom they are about",
            )
        self._store.open()

    def close(self) -> None:
        """Lets go of the database."""
        self._store.close()

    def separate(self, events: Sequence[AccessEvent], now_us: int) -> list[Record]:
        """The lines of events, without the people in them, who are durable beside the log on return."""
        sidecars = Sidecars(self._ids.take(len(events), now_us))
        with self._store.transaction():
            self._turn_to(_day(now_us))
            self._meet(events)
            records = [self._record(event, sidecars) for event in events]
            sidecars.write(self._store)
        if len(self._cache) > _CACHE_LIMIT:
            self._cache.clear()
        if self._has_turned:
            self._has_turned = not self._store.empty_journal()
        return records

    def identify(self, records: Sequence[Record]) -> list[Identity]:
        """Who records are about, one for one, as far as it is still known.

        Raises:
            ChainBroken: what lies beside a record is not what it was made with.
        """
        events = [_number(record.id) for record in records if record.id]
        names = [record.person for record in records if record.person]
        with self._store.transaction(writes=False):
            known = self._store.known(events, names)
        return [self._identity(record, known) for record in records]

    def pseudonyms(self, subject: str) -> set[str]:
        """Every name that somebody has in the lines; empty when nothing is known of them."""
        with self._store.transaction(writes=False):
            return self._store.pseudonyms(self._lookup(subject))

    def erase(self, subject: str) -> int:
        """Forgets somebody: their key, pseudonyms and everything that was kept beside their records.

        Returns:
            How many records no longer tell who they are about; -1 when nobody was known by that name.
        """
        with self._store.transaction():
            count = self._forget(self._lookup(subject))
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
        with self._store.transaction():
            for id, alias in erasures.items():
                if self._store.note_erasure(id):
                    counts.append(self._forget(bytes.fromhex(alias)))
        self._leave_no_trace()
        return -1 if max(counts) < 0 else sum(count for count in counts if count > 0)

    def purge(self, retention: Retention, before: str, details_before: str = "") -> int:
        """Forgets who stood in records of a class before a day, unless they are in others as well.

        Args:
            details_before: and up to this day, if it is later, what was kept beside such records.

        Returns:
            How many records have no details any more.
        """
        with self._store.transaction():
            count = self._store.purge(retention, before, max(before, details_before))
            self._cache.clear()
        self._leave_no_trace()
        return count

    def _forget(self, lookup: bytes) -> int:
        self._cache.clear()
        return self._store.forget(lookup)

    def _forget_all(self) -> None:
        """Of what the database knows better."""
        self._cache.clear()
        self._day = ""

    def _leave_no_trace(self) -> None:
        if not self._store.empty_journal():
            raise OSError(errno.EBUSY, "the people are being read: old pages are left; repeat")
        self._store.sweep()

    def _turn_to(self, day: str) -> None:
        """Destroys the address keys of other days."""
        if day == self._day:
            return
        sealed = self._store.turn_to(day)
        if sealed is None:
            self._day_key = os.urandom(KEY_BYTES)
            self._store.add_day(day, self._seal.close(self._day_key.hex(), f"day/{day}"))
        else:
            self._day_key = bytes.fromhex(self._seal.open(sealed, f"day/{day}"))
        # Visitors without a name have a new key as well.
        self._cache.pop("", None)
        self._origins.clear()
        self._day, self._has_turned = day, True

    def _record(self, event: AccessEvent, sidecars: Sidecars) -> Record:
        # The end of a viewing must not bring somebody back who was forgotten while it ran.
        is_end = event.type is EventType.STOP
        person = self._person(event.subject, may_be_new=not is_end)
        name = id = commitment = ""
        if person is not None:
            if event.subject:
                name = _pseudonym(person, event.ts_us, sidecars)
            if not is_end and (event.subject or event.address or event.agent):
                origin = self._origin(event.address, event.agent)
                id, commitment = sidecars.add(origin, person, REGISTRY[event.type].retention)
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
            about=self._about(event, sidecars) if event.about else "",
            target=event.target,
        )

    def _origin(self, text: str, agent: str) -> Origin:
        """What is kept of where an event came from."""
        origin = self._origins.get((text, agent))
        if origin is None:
            address = ipaddress.ip_address(text) if text else None
            origin = Origin(
                details(address, self._mode, user_agent=agent), trace(address, self._mode, self._day_key)
            )
            if len(self._origins) >= _CACHE_LIMIT:
                self._origins.clear()
            self._origins[text, agent] = origin
        return origin

    def _about(self, event: AccessEvent, sidecars: Sidecars) -> str:
        """The pseudonym of whom an event concerns; nobody becomes known by that."""
        person = self._person(event.about, may_be_new=False)
        return "" if person is None else _pseudonym(person, event.ts_us, sidecars)

    def _person(self, subject: str, *, may_be_new: bool) -> Person | None:
        person = self._cache.get(subject)
        if person is None and may_be_new:
            person = self._cache[subject] = self._newcomers[subject]
        return person

    def _meet(self, events: Sequence[AccessEvent]) -> None:
        """Has everybody of a batch at hand; the database is asked once, however many they are."""
        named = {name for event in events for name in (event.subject, event.about)} - self._cache.keys()
        lookups = {name: self._lookup(name) for name in named}
        found = self._store.find([*lookups.values()]) if named else {}
        for name, lookup in lookups.items():
            if lookup in found:
                id, key = found[lookup]
                self._cache[name] = Person(id, bytes.fromhex(self._seal.open(key, "person/key")))
        acting = dict.fromkeys(event.subject for event in events if event.type is not EventType.STOP)
        new = [name for name in acting if name not in self._cache]
        self._newcomers = self._add(new) if new else {}

    def _add(self, names: Sequence[str]) -> dict[str, Person]:
        close, lookups = self._seal.close, {name: self._lookup(name) for name in names}
        # Names that are no text may have the same.
        texts = {lookup: _text(name) for name, lookup in lookups.items()}
        keys = [os.urandom(KEY_BYTES) for _ in texts]
        newcomers = [
            Newcomer(lookup, close(text, "person/name"), close(key.hex(), "person/key"))
            for (lookup, text), key in zip(texts.items(), keys, strict=True)
        ]
        ids = self._store.add_people(newcomers)
        added = {lookup: Person(id, key) for lookup, id, key in zip(texts, ids, keys, strict=True)}
        return {name: added[lookup] for name, lookup in lookups.items()}

    def _lookup(self, subject: str) -> bytes:
        # Visitors without a name are somebody else each day.
        return _lookup(self._lookup_key, subject, "" if subject else self._day)

    def _identity(self, record: Record, known: Known) -> Identity:
        unkept = known.persons.get(record.person, 0), None
        person, sidecar = known.sidecars.get(_number(record.id), unkept)
        if person not in known.people:
            return Identity()
        name, key = known.people[person]
        subject = self._seal.open(name, "person/name")
        if sidecar is None:
            return Identity(subject)
        subject_key = bytes.fromhex(self._seal.open(key, "person/key"))
        commitment = _digest(record.commitment)
        kept = unseal(sidecar, commitment, event_id=record.id, cipher=cipher(subject_key))
        return Identity(subject, sidecar.trace.network, kept.ip, kept.user_agent)


def _lookup_key(key: bytes) -> bytes:
    return hmac.digest(key, b"camrelay lookup", "sha256")


def _lookup(key: bytes, subject: str, day: str = "") -> bytes:
    return hmac.digest(key, f"{day}\0{_text(subject)}".encode(), hashlib.sha256)


def _pseudonym(person: Person, ts_us: int, sidecars: Sidecars) -> str:
    days = ts_us // _DAY_US
    name = person.pseudonyms.get(days)
    if name is None:
        name = person.pseudonyms[days] = pseudonym(person.key, _date(days)[:7])
        sidecars.call(person, name)
    return name


def _digest(commitment: str) -> bytes:
    try:
        return bytes.fromhex(commitment)
    except ValueError:
        raise ChainBroken("a record's commitment is none") from None


def _number(id: str) -> int:
    """The id of a record in the database, -1 when it is none."""
    try:
        number = int(id, 16)
    except ValueError:
        return -1
    return number if number < 1 << 63 else -1


def _text(subject: str) -> str:
    # Lone surrogates have no encoding.
    return subject.encode(errors="replace").decode()


def _day(us: int) -> str:
    return _date(us // _DAY_US)


@functools.lru_cache(maxsize=16)
def _date(days: int) -> str:
    return str(datetime.date(1970, 1, 1) + datetime.timedelta(days))
