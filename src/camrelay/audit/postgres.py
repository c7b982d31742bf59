"""A connection to PostgreSQL for threads that wait for it.

asyncpg's, on an event loop of its own that runs while an answer is awaited. A connection that failed is given
up, and the next transaction makes another one. Texts of the driver repeat values and addresses: what is said
of a failure is its class. One thread at a time, and none that runs an event loop.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]

from camrelay.database import postgres_arguments
from camrelay.errors import ConfigError

#: A server nearby answers in milliseconds. Whoever waits for a record is refused before, by the log.
CONNECT_S = 2.0
ANSWER_S = 10.0
#: For what touches many rows: an erasure is done within a minute.
SWEEP_S = 50.0

_SETTINGS = {
    # Whatever the server's own is: a start is acknowledged when it outlives a power cut.
    "synchronous_commit": "on",
    # An idle connection is no reason for a firewall to forget it, seconds.
    "tcp_keepalives_idle": "60",
    "application_name": "camrelay people",
}

_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, EOFError)

_T = TypeVar("_T")


class Postgres:
    """A connection.

    Args:
        url: as SQLAlchemy has it, such as "postgresql+asyncpg://host/camrelay".
        option: the name of the option that it is from.

    Raises:
        ConfigError: it is none.
    """

    def __init__(self, url: str, option: str) -> None:
        try:
            self._arguments = postgres_arguments(url)
        except ValueError:
            raise ConfigError(f"{option} is not the URL of a PostgreSQL") from None
        self._schema = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Any = None

    def open(self, schema: str) -> None:
        """Connects; unqualified names are of that schema. OSError when that cannot be."""
        self._schema = schema
        self._loop = asyncio.SelectorEventLoop()
        try:
            self._connect()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the server."""
        if self._loop is not None:
            self._drop()
            self._loop.close()
            self._loop = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done inside is durable afterwards, or none of it was done; OSError on failures."""
        try:
            self.run("BEGIN")
        except OSError:
            # The server may have been started anew since the last one.
            self._drop()
            self._connect()
            self.run("BEGIN")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            if self._connection is not None:
                with suppress(OSError):
                    self.run("ROLLBACK")
            raise

    def run(self, statement: str, *values: object, timeout_s: float = ANSWER_S) -> int:
        """Runs a statement; of how many rows it tells."""
        told: str = self._wait(self._live().execute(statement, *values, timeout=timeout_s))
        count = told.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    def fetch(self, query: str, *values: object, timeout_s: float = ANSWER_S) -> list[Any]:
        """The rows of a query, as tuples."""
        return list(map(tuple, self._wait(self._live().fetch(query, *values, timeout=timeout_s))))

    def _live(self) -> Any:
        if self._connection is None:
            raise OSError(errno.ENOTCONN, "PostgreSQL: not connected")
        return self._connection

    def _connect(self) -> None:
        settings = {**_SETTINGS, "search_path": f'"{self._schema}"'}
        connecting = asyncpg.connect(
            **self._arguments, timeout=CONNECT_S, command_timeout=ANSWER_S, server_settings=settings
        )
        self._connection = self._wait(connecting)

    def _drop(self) -> None:
        """Gives the connection up, whatever it is doing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        # What the driver still has to say of it is said now.
        assert self._loop is not None
        self._loop.run_until_complete(_settle())

    def _wait(self, answer: Coroutine[Any, Any, _T]) -> _T:
        if self._loop is None:
            answer.close()
            raise OSError(errno.ENOTCONN, "PostgreSQL: not connected")
        try:
            return self._loop.run_until_complete(answer)
        except _FAILURES as error:
            self._drop()
            raise OSError(errno.EIO, f"PostgreSQL: {type(error).__name__}") from None


async def _settle() -> None:
    """Ends every other task of the loop."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
