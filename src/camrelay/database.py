"""The database: SQLite by default, PostgreSQL by URL; its schema is brought up to date at the start.

The tables stand in the modules that end in `store`, one for each thing that is kept; they and the migrations
alone know SQL. Whatever a driver says stays here: its texts repeat URLs and values.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import alembic.command
import alembic.config
import asyncpg  # type: ignore[import-untyped]
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from camrelay.errors import ConfigError, NotFound, StoreUnavailable

SCHEMA = sa.MetaData()

_MIGRATIONS = Path(__file__).parent / "migrations"

#: Longer than any transaction here holds the file, or than a server nearby needs for a connection; beyond it
#: something is wrong.
BUSY_S = 5.0

#: What PostgreSQL's advisory locks call ours: two relays that start together must not both change the schema.
_SCHEMA_LOCK = 0x63616D72

T = TypeVar("T")


class Database:
    """The database behind a SQLAlchemy URL.

    Args:
        url: such as "sqlite+aiosqlite:////var/lib/camrelay/camrelay.db" or "postgresql+asyncpg://host/camrelay".
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = _engine(url)
        except (SQLAlchemyError, ImportError):
            # SQLAlchemy's own text repeats the URL, password included.
            raise ConfigError("store.url is not a database URL that camrelay can use") from None
        #: Whether relays on other machines may use it as well, and the name of this one among them.
        self.is_shared = self._engine.dialect.name == "postgresql"
        self.node = secrets.token_hex(8)

    async def open(self) -> None:
        """Connects, and brings the schema up to date.

        Raises:
            StoreUnavailable: no connection, or a schema newer than this camrelay.
        """
        try:
            async with self._engine.begin() as connection:
                await connection.run_sync(_upgrade)
        except (SQLAlchemyError, OSError, alembic.util.CommandError):
            raise StoreUnavailable("the database cannot be opened") from None

    async def empty_journal(self) -> None:
        """Leaves nothing of removed rows in SQLite's write-ahead log; elsewhere it is not ours to empty."""
        if self._engine.dialect.name == "sqlite":
            async with self._answering(), self._engine.connect() as connection:
                await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    async def close(self) -> None:
        """Lets go of every connection."""
        await self._engine.dispose()

    async def fetch(self, query: sa.Select[Any]) -> list[sa.RowMapping]:
        """Every row of a query."""
        async with self._answering(), self._engine.connect() as connection:
            return list((await connection.execute(query)).mappings())

    async def change(self, *statements: sa.Executable) -> int:
        """Runs statements as one transaction; how many rows the last one changed.

        Raises:
            IntegrityError: a key is taken, or a row that is referred to is missing.
            StoreUnavailable: the database does not answer.
        """
        changed = 0
        async with self._answering(), self._engine.begin() as connection:
            for statement in statements:
                changed = (await connection.execute(statement)).rowcount
        return changed

    async def change_one(self, statement: sa.Executable) -> None:
        """Changes a row.

        Raises:
            NotFound: there is none.
        """
        if not await self.change(statement):
            raise NotFound("no such row")

    async def transact(self, act: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What `act` returns, when all it did is stored; nothing is stored when it raises."""
        async with self._answering(), self._engine.begin() as connection:
            return await act(connection)

    @asynccontextmanager
    async def listening(self, channel: str, wake: Callable[[], object]) -> AsyncIterator[asyncio.Event]:
        """Calls `wake` whenever a relay notifies a channel; sets the event when it will no more.

        Raises:
            StoreUnavailable: there is no connection.
        """
        async with self._answering(), self._engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            is_over = asyncio.Event()
            driver.add_termination_listener(lambda _: is_over.set())
            try:
                await driver.add_listener(channel, lambda *_: wake())
                yield is_over
            finally:
                # Nobody else is to inherit what it listens to.
                await connection.invalidate()

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            raise StoreUnavailable("the database does not answer") from None


def postgres_arguments(url: str) -> dict[str, Any]:
    """What asyncpg connects with by a SQLAlchemy URL; ValueError when it is none of PostgreSQL."""
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() != "postgresql":
            raise ValueError("not PostgreSQL")
        _, arguments = parsed.set(drivername="postgresql+asyncpg").get_dialect()().create_connect_args(parsed)
    except (SQLAlchemyError, ImportError):
        raise ValueError("not a URL") from None
    return dict(arguments)


def _engine(url: str) -> AsyncEngine:
    backend = sa.make_url(url).get_backend_name()
    engine = create_async_engine(
        url,
        hide_parameters=True,  # statements go into error texts, values must not
        connect_args={"timeout": BUSY_S},
        pool_pre_ping=backend != "sqlite",
    )
    if backend == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    # secure_delete: a removed password must not stay in a free page.
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _upgrade(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
    steps = alembic.config.Config(attributes={"connection": connection})
    steps.set_main_option("script_location", str(_MIGRATIONS))
    alembic.command.upgrade(steps, "head")
