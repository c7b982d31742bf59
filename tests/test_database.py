"""The database opens by URL, on SQLite and on PostgreSQL, and says nothing of what a driver says."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from camrelay import camera_store, migrations
from camrelay.database import SCHEMA, Database
from camrelay.errors import ConfigError, StoreUnavailable
from camrelay.sealing import Seal


async def test_the_steps_make_the_tables_that_the_stores_use(database: Database, database_url: str) -> None:
    """On both databases: no column, key or index is missing in the one or the other."""
    for path in Path(camera_store.__file__).parent.glob("*_store.py"):
        importlib.import_module(f"camrelay.{path.stem}")
    engine = create_async_engine(database_url)

    def differences(connection: sa.Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection), SCHEMA)

    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()

    assert found == []


async def test_cameras_from_before_accounts_are_the_operators(database_url: str) -> None:
    """An upgrade keeps every camera, in the first tenant and nobody's own, and knows its password still."""
    seal = Seal(bytes(32))
    engine = create_async_engine(database_url)

    def first_step(connection: sa.Connection) -> None:
        steps = alembic.config.Config(attributes={"connection": connection})
        steps.set_main_option("script_location", str(Path(migrations.__file__).parent))
        alembic.command.upgrade(steps, "0001")
        values = {"id": "gate", "position": 1, "url": "rtsp://192.0.2.1/", "title": "Gate", "description": ""}
        values |= {"time_zone": "UTC", "username": "", "transport": "tcp", "visibility": "public"}
        values |= {"sealed_password": seal.close("S3cret", "camera/gate/password")}
        columns = [sa.column(name) for name in values]
        connection.execute(sa.insert(sa.table("cameras", *columns)).values(**values))

    async with engine.begin() as connection:
        await connection.run_sync(first_step)
    await engine.dispose()
    database = Database(database_url)
    await database.open()

    (camera,) = await camera_store.CameraStore(database, seal).cameras()
    assert (camera.id, camera.title, camera.password) == ("gate", "Gate", "S3cret")
    assert (camera.tenant, camera.owner, camera.connect) == ("main", "", "always")
    await database.close()


async def test_relays_that_start_together_change_the_schema_once(database_url: str) -> None:
    """Each finds it complete."""
    relays = [Database(database_url) for _ in range(3)]
    if database_url.startswith("sqlite"):
        relays = relays[:1]  # one file has one relay

    await asyncio.gather(*(relay.open() for relay in relays))

    for relay in relays:
        await relay.fetch(sa.select(camera_store.CAMERAS))
        await relay.close()


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:S3cret@h/d", "sqlite+nosuch:///x"])
def test_a_bad_url_is_refused_without_repeating_it(url: str) -> None:
    """The URL of a database holds a password."""
    with pytest.raises(ConfigError) as caught:
        Database(url)
    assert "S3cret" not in str(caught.value)


async def test_a_file_that_is_no_database_is_said_without_a_traceback(tmp_path: Path) -> None:
    """The answer is 503 with a sentence, which repeats nothing of the URL."""
    (tmp_path / "camrelay.db").write_bytes(b"something else entirely" * 100)
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'camrelay.db'}")

    with pytest.raises(StoreUnavailable) as caught:
        await database.open()
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(StoreUnavailable):
        await database.fetch(sa.select(camera_store.CAMERAS))
    await database.close()


async def test_a_server_that_is_not_there_is_said_the_same_way(tmp_path: Path) -> None:
    """Nobody listens on that socket."""
    database = Database(f"postgresql+asyncpg://relay:S3cret@/camrelay?host={tmp_path}")

    with pytest.raises(StoreUnavailable) as caught:
        await database.open()
    assert "S3cret" not in str(caught.value)
    await database.close()
