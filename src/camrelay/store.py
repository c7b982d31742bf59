"""The database: what people change while camrelay runs. SQLite by default, PostgreSQL by URL.

Only this module and its migrations know SQL. Secrets are sealed before they get here and opened after, so a
stolen database shows none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from camrelay import config
from camrelay.errors import CameraExists, ConfigError, NotFound, StoreUnavailable
from camrelay.sealing import Seal

SCHEMA = sa.MetaData()

#: One row a camera; the columns are the fields of config.Camera but for the password, which is sealed.
CAMERAS = sa.Table(
    "cameras",
    SCHEMA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("time_zone", sa.Text, nullable=False),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("sealed_password", sa.LargeBinary, nullable=False),
    sa.Column("transport", sa.Text, nullable=False),
    sa.Column("visibility", sa.Text, nullable=False),
)

_MIGRATIONS = Path(__file__).parent / "migrations"

#: Longer than any transaction here holds the file; beyond it something is wrong.
BUSY_S = 5.0


class Store:
    """The database behind a SQLAlchemy URL.

    Args:
        url: such as "sqlite+aiosqlite:////var/lib/camrelay/camrelay.db".
        seal: closes and opens the secrets kept in it.
    """

    def __init__(self, url: str, seal: Seal) -> None:
        self._seal = seal
        try:
            self._engine = _engine(url)
        except (SQLAlchemyError, ImportError):
            # SQLAlchemy's own text repeats the URL, password included.
            raise ConfigError("store.url is not a database URL that camrelay can use") from None

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

    async def close(self) -> None:
        """Lets go of every connection."""
        await self._engine.dispose()

    async def cameras(self) -> list[config.Camera]:
        """Every stored camera, in the order they were added."""
        rows = await self._fetch(sa.select(CAMERAS).order_by(CAMERAS.c.position))
        return [self._camera(row) for row in rows]

    async def add_camera(self, camera: config.Camera) -> None:
        """Stores a new camera.

        Raises:
            CameraExists: its id is taken.
        """
        position = sa.select(sa.func.coalesce(sa.func.max(CAMERAS.c.position), 0) + 1).scalar_subquery()
        try:
            await self._change(sa.insert(CAMERAS).values(position=position, **self._values(camera)))
        except IntegrityError:
            raise CameraExists("a camera with this id is there already") from None

    async def change_camera(self, camera: config.Camera) -> None:
        """Replaces what is stored of a camera.

        Raises:
            NotFound: it is not stored here.
        """
        await self._change_one(
            sa.update(CAMERAS).where(CAMERAS.c.id == camera.id).values(**self._values(camera))
        )

    async def remove_camera(self, camera_id: str) -> None:
        """Forgets a camera and its password.

        Raises:
            NotFound: it is not stored here.
        """
        await self._change_one(sa.delete(CAMERAS).where(CAMERAS.c.id == camera_id))

    def _values(self, camera: config.Camera) -> dict[str, Any]:
        values = {c.name: getattr(camera, c.name) for c in CAMERAS.c if hasattr(camera, c.name)}
        return values | {"sealed_password": self._seal.close(camera.password, _password_of(camera.id))}

    def _camera(self, row: sa.RowMapping) -> config.Camera:
        values = {name: row[name] for name in config.Camera.__struct_fields__ if name in row}
        password = self._seal.open(row["sealed_password"], _password_of(row["id"]))
        return config.Camera(**values, password=password)

    async def _fetch(self, query: sa.Select[Any]) -> list[sa.RowMapping]:
        try:
            async with self._engine.connect() as connection:
                return list((await connection.execute(query)).mappings())
        except (SQLAlchemyError, OSError):
            raise StoreUnavailable("the database does not answer") from None

    async def _change(self, statement: sa.Executable) -> int:
        try:
            async with self._engine.begin() as connection:
                return (await connection.execute(statement)).rowcount
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError):
            raise StoreUnavailable("the database does not answer") from None

    async def _change_one(self, statement: sa.Executable) -> None:
        if not await self._change(statement):
            raise NotFound("no such row")


def _password_of(camera_id: str) -> str:
    return f"camera/{camera_id}/password"


def _engine(url: str) -> AsyncEngine:
    is_sqlite = sa.make_url(url).get_backend_name() == "sqlite"
    engine = create_async_engine(
        url,
        hide_parameters=True,  # statements go into error texts, values must not
        connect_args={"timeout": BUSY_S},
        pool_pre_ping=not is_sqlite,
    )
    if is_sqlite:
        sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    # secure_delete: a removed password must not stay in a free page.
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _upgrade(connection: sa.Connection) -> None:
    steps = alembic.config.Config(attributes={"connection": connection})
    steps.set_main_option("script_location", str(_MIGRATIONS))
    alembic.command.upgrade(steps, "head")
