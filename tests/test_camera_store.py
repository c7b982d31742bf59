"""The store keeps cameras across restarts, and their passwords sealed."""

from __future__ import annotations

from pathlib import Path

import pytest

from camrelay import config
from camrelay.camera_store import CameraStore
from camrelay.database import Database
from camrelay.errors import BadRequest, CameraExists, ConfigError, NotFound
from camrelay.sealing import Seal

CANARY = "S3cret-canary"
CAMERA = config.Camera(
    id="gate",
    url="rtsp://192.0.2.1/live",
    sub_url="rtsp://192.0.2.1/small",
    title="Gate",
    username="admin",
    password=CANARY,
    visibility="public",
    transport="udp",
    tls_fingerprint="0a" * 32,
    onvif_port=8000,
    onvif_profile="main",
    time_zone="Europe/Madrid",
)
KEY = bytes(range(32))


@pytest.fixture
def store(database: Database) -> CameraStore:
    return CameraStore(database, Seal(KEY))


async def test_a_camera_comes_back_as_it_was_after_a_restart(
    store: CameraStore, database: Database, database_url: str
) -> None:
    """Every field survives, the password included; the schema step runs once."""
    await store.add_camera(CAMERA)
    await database.close()

    again = Database(database_url)
    await again.open()

    assert await CameraStore(again, Seal(KEY)).cameras() == [CAMERA]
    await again.close()


async def test_cameras_keep_the_order_they_were_added_in(store: CameraStore) -> None:
    """The page shows them in this order."""
    for name in ("zoo", "attic", "middle"):
        await store.add_camera(config.Camera(id=name, url="rtsp://192.0.2.1/"))

    assert [camera.id for camera in await store.cameras()] == ["zoo", "attic", "middle"]


async def test_change_and_remove(store: CameraStore) -> None:
    """A change replaces the fields, a removal forgets the row."""
    await store.add_camera(CAMERA)
    changed = config.Camera(id="gate", url="rtsp://192.0.2.2/", password="other")

    await store.change_camera(changed)
    assert await store.cameras() == [changed]

    await store.remove_camera("gate")
    assert await store.cameras() == []


async def test_an_id_is_taken_once(store: CameraStore) -> None:
    """Adding it again is the asker's mistake, and changes nothing."""
    await store.add_camera(CAMERA)

    with pytest.raises(CameraExists):
        await store.add_camera(config.Camera(id="gate", url="rtsp://192.0.2.9/"))

    assert await store.cameras() == [CAMERA]


async def test_what_is_not_there_cannot_be_changed(store: CameraStore) -> None:
    """Changing or removing an unknown camera says so."""
    with pytest.raises(NotFound):
        await store.change_camera(CAMERA)
    with pytest.raises(NotFound):
        await store.remove_camera("gate")


@pytest.mark.parametrize("strange", [{"owner": "nobody"}, {"tenant": "elsewhere"}])
async def test_an_owner_is_somebody(store: CameraStore, strange: dict[str, str]) -> None:
    """A camera belongs to an account and a tenant that are there."""
    with pytest.raises(BadRequest):
        await store.add_camera(config.Camera(id="gate", url="rtsp://192.0.2.1/", **strange))
    await store.add_camera(CAMERA)
    with pytest.raises(BadRequest):
        await store.change_camera(config.Camera(id="gate", url="rtsp://192.0.2.1/", **strange))

    assert await store.cameras() == [CAMERA]


async def test_the_files_of_the_database_never_show_a_password(
    store: CameraStore, database_url: str, tmp_path: Path
) -> None:
    """Sealed on the way in."""
    await store.add_camera(CAMERA)
    if database_url.startswith("sqlite"):
        assert (tmp_path / "camrelay.db").exists()
    assert not any(CANARY.encode() in file.read_bytes() for file in tmp_path.iterdir())


async def test_another_key_opens_nothing(store: CameraStore, database: Database) -> None:
    """A stolen database without its key file shows no password, and the message says what to restore."""
    await store.add_camera(CAMERA)

    with pytest.raises(ConfigError, match="does not open"):
        await CameraStore(database, Seal(bytes(32))).cameras()
