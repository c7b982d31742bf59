"""What is kept beside the records of a batch, on its way into the database of people.

The writer's thread shares the interpreter with the event loop, and everything that lets go of it may wait for
the loop's turn to end. So randomness is taken at once, and rows are written by few statements.
"""

from __future__ import annotations

import io
import os
import secrets

from camrelay.audit.identity import NONCE_BYTES, SALT_BYTES, Origin, cipher, seal
from camrelay.audit.people_store import RANDOM_BITS, Moment, PeopleStore, Pseudonym, Row, minute_of
from camrelay.audit.record import Retention


class Ids:
    """Ids of records count up, so that rows are added to the end of a table and not strewn over it."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int, now_us: int) -> range:
        """As many as a batch may need; what it does not use nobody will."""
        drawn = now_us // 1000 << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
        first = max(self._next, drawn)
        self._next = first + count
        return range(first, self._next)


class Person:
    """Somebody whose key is at hand."""

    def __init__(self, id: int, key: bytes) -> None:
        self.id = id
        self.key = key
        self.cipher = cipher(key)
        #: By day, counted from 1970: two of one month have the same.
        self.pseudonyms: dict[int, str] = {}
        #: The newest that the database has.
        self.moment: Moment | None = None


class Sidecars:
    """The sidecars of a batch of records that have these ids."""

    def __init__(self, ids: range) -> None:
        self._ids = iter(ids)
        self._randomness = io.BytesIO(os.urandom(len(ids) * (SALT_BYTES + NONCE_BYTES)))
        self._names: list[Pseudonym] = []
        self._rows: list[Row] = []
        self._moments: list[Moment] = []

    def add(self, origin: Origin, person: Person, retention: Retention) -> tuple[str, str]:
        """Seals what is kept of a person in one record; returns its id and commitment."""
        number = next(self._ids)
        id = f"{number:016x}"
        read = self._randomness.read
        blob, commitment = seal(
            origin, event_id=id, cipher=person.cipher, salt=read(SALT_BYTES), nonce=read(NONCE_BYTES)
        )
        trace = origin.trace
        self._rows.append((number, person.id, retention, trace.network, trace.address_hash, blob))
        moment = (person.id, minute_of(number), retention)
        if moment != person.moment:
            person.moment = moment
            self._moments.append(moment)
        return id, commitment.hex()

    def call(self, person: Person, name: str) -> None:
        """Gives a person a name in the lines."""
        self._names.append((name, person.id))

    def write(self, store: PeopleStore) -> None:
        """Adds the rows, in the transaction that is open."""
        store.add(self._names, self._rows, self._moments)
