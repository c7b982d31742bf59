"""What is kept beside the records of a batch, on its way into the database of people.

The writer's thread shares the interpreter with the event loop, and everything that lets go of it may wait for
the loop's turn to end. So randomness is taken at once, and rows are written by one statement.
"""

from __future__ import annotations

import io
import os
import secrets
import sqlite3

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from camrelay.audit.identity import NONCE_BYTES, SALT_BYTES, Details, Trace, seal

#: Of an id, drawn at random after the milliseconds.
_RANDOM_BITS = 22

_KEEP = """
INSERT INTO sidecars
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, substr(?2, value ->> 5, value ->> 6)
FROM json_each(?1)
"""


class Ids:
    """Ids of records count up, so that rows are added to the end of a table and not strewn over it."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int, now_us: int) -> range:
        """As many as a batch may need; what it does not use nobody will."""
        drawn = now_us // 1000 << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        first = max(self._next, drawn)
        self._next = first + count
        return range(first, self._next)


class Sidecars:
    """The sidecars of a batch of records that have these ids."""

    def __init__(self, ids: range) -> None:
        self._ids = iter(ids)
        self._randomness = io.BytesIO(os.urandom(len(ids) * (SALT_BYTES + NONCE_BYTES)))
        self._rows: list[tuple[str, int, str, str, str, int, int]] = []
        self._blobs = bytearray()

    def add(self, kept: Details, trace: Trace, person: int, cipher: AESGCM, day: str) -> tuple[str, str]:
        """Seals what is kept of a person in one record; returns its id and commitment."""
        id = f"{next(self._ids):016x}"
        sidecar, commitment = seal(
            kept,
            trace,
            event_id=id,
            cipher=cipher,
            salt=self._randomness.read(SALT_BYTES),
            nonce=self._randomness.read(NONCE_BYTES),
        )
        # SQL counts from one.
        place = len(self._blobs) + 1, len(sidecar.blob)
        self._blobs += sidecar.blob
        self._rows.append((id, person, day, trace.network, trace.address_hash, *place))
        return id, commitment.hex()

    def write(self, database: sqlite3.Connection) -> None:
        """Adds the rows, in the transaction that is open."""
        if self._rows:
            database.execute(_KEEP, (msgspec.json.encode(self._rows).decode(), self._blobs))
