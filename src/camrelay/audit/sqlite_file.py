"""A SQLite database for one user's eyes, in which deleted rows are overwritten. Everything here blocks."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from camrelay.errors import ConfigError

#: How long another process, one that erases somebody, may hold the database.
_BUSY_S = 1.0


class SqliteFile:
    """A database with tables of one version.

    Args:
        tables: SQL that makes them where they are not.
        version: of the tables; a file with another one is not used.
        forget: what was remembered of the database may no longer be so.

    Every method but `open` raises OSError when the database fails. One thread at a time.
    """

    def __init__(self, path: Path, tables: str, version: int, forget: Callable[[], None]) -> None:
        self._path = path
        # First of all, so that nobody finds tables without it.
        self._tables = f"PRAGMA user_version = {version};\n{tables}"
        self._version = version
        self._forget = forget
        self._seen = -1
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
            if is_new or version == self._version:
                self._connection.executescript(self._tables)
        except sqlite3.Error as error:
            self.close()
            raise ConfigError(f"{self._path} cannot be used for people ({error.sqlite_errorname})") from None
        if not is_new and version != self._version:
            self.close()
            raise ConfigError(
                f"{self._path} was made by another version of camrelay",
                hint=f"move {self._path.name}* elsewhere:"
                " records stay, and tell no longer whom they are about",
            )

    def close(self) -> None:
        """Lets go of the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Iterator[None]:
        """All that is done inside is durable afterwards, or none of it was done."""
        if self._connection is None:
            raise OSError(errno.EBADF, "the database of people is not open")
        try:
            self._connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            try:
                # Somebody may have been forgotten by another process.
                (seen,) = self._connection.execute("PRAGMA data_version").fetchone()
                if seen != self._seen:
                    self._seen = seen
                    self._forget()
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._forget()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"{self._path.name}: {error.sqlite_errorname}") from None

    def empty_journal(self) -> bool:
        """Leaves nothing of what was overwritten in the write-ahead log; False while somebody reads there."""
        try:
            (is_busy, *_) = self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"{self._path.name}: {error.sqlite_errorname}") from None
        return not is_busy

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Runs a statement, in the transaction that is open."""
        assert self._connection is not None
        return self._connection.execute(statement, values)
