"""The keys of what a database elsewhere keeps of people, in a file of the log's own directory.

A server keeps what it was given for longer than it says: deleted rows lie in its files until it writes over
them, in its write-ahead log, on its standbys, in its backups. So all it is given is sealed once more, with a
key for each person that never leaves this file, where rows are overwritten; without it all that is noise.
Everything here blocks; one thread at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from camrelay.audit import day_keys
from camrelay.audit.identity import NONCE_BYTES
from camrelay.audit.people_store import KEYS_DATABASE
from camrelay.audit.sqlite_file import SqliteFile

_KEY_BYTES = 32

_VERSION = 1
_TABLES = f"""
{day_keys.TABLE}
CREATE TABLE IF NOT EXISTS veils (lookup TEXT PRIMARY KEY, key BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS erasures (id TEXT PRIMARY KEY);
"""


class Veil:
    """What lies over everything that is kept of one person."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, plain: bytes, place: str, nonce: bytes) -> bytes:
        """Seals bytes that belong to a place, such as "person"; the nonce was never used with this veil."""
        return nonce + self._cipher.encrypt(nonce, plain, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes | None:
        """The bytes; None when another veil is over them, of somebody by that name who was forgotten."""
        nonce, content = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, content, place.encode())
        except InvalidTag:
            return None


class Veils:
    """The veils of everybody, by what finds people; all but `file.open` and `file.close` in a transaction.

    Args:
        directory: of the log.
        forget: what was remembered of them may no longer be so.
    """

    def __init__(self, directory: Path, forget: Callable[[], None]) -> None:
        self.file = SqliteFile(directory / KEYS_DATABASE, _TABLES, _VERSION, forget)

    def find(self, lookups: Iterable[bytes]) -> dict[bytes, Veil]:
        """Those that there are."""
        query = "SELECT lookup, key FROM veils WHERE lookup IN (SELECT value FROM json_each(?))"
        found = self.file.execute(query, _list(lookups))
        return {bytes.fromhex(lookup): Veil(key) for lookup, key in found}

    def make(self, lookups: Iterable[bytes]) -> list[Veil]:
        """New ones, in the place of any that were there."""
        made = [(lookup.hex(), os.urandom(_KEY_BYTES)) for lookup in lookups]
        for row in made:
            self.file.execute("INSERT OR REPLACE INTO veils VALUES (?, ?)", *row)
        return [Veil(key) for _, key in made]

    def destroy(self, lookups: Iterable[bytes]) -> None:
        """What lies under them nobody reads any more."""
        query = "DELETE FROM veils WHERE lookup IN (SELECT value FROM json_each(?))"
        self.file.execute(query, _list(lookups))

    def note_erasure(self, id: str) -> bool:
        """Whether an erasure is new here; from now on it is not."""
        return self.file.execute("INSERT OR IGNORE INTO erasures VALUES (?)", id).rowcount > 0


def _list(lookups: Iterable[bytes]) -> bytes:
    return msgspec.json.encode([lookup.hex() for lookup in lookups])
