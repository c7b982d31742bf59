"""The store keeps cameras across restarts, and their passwords sealed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from camrelay import config
from camrelay.errors import CameraExists, ConfigError, NotFound, StoreUnavailable
from camrelay.sealing import Seal
from camrelay.store import Store

CANARY = "S3cret-canary"
CAMERA = config.Camera(
    id="gate",
    url="rtsp://192.0.2.1/live",
    title="Gate",
    username="admin",
    password=CANARY,
    visibility="public",
    transport="udp",
    time_zone="Europe/Madrid",
)
KEY = bytes(range(32))


def url_in(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path / 'camrelay.db'}"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(url_in(tmp_path), Seal(KEY))
    await made.open()
    yield made
    await made.close()


async def test_a_camera_comes_back_as_it_was_after_a_restart(store: Store, tmp_path: Path) -> None:
    """Every field survives, the password included; the schema step runs once."""
    await store.add_camera(CAMERA)
    await store.close()

    again = Store(url_in(tmp_path), Seal(KEY))
    await again.open()

    assert await again.cameras() == [CAMERA]
    await again.close()


async def test_cameras_keep_the_order_they_were_added_in(store: Store) -> None:
    """The page shows them in this order."""
    for name in ("zoo", "attic", "middle"):
        await store.add_camera(config.Camera(id=name, url="rtsp://192.0.2.1/"))

    assert [camera.id for camera in await store.cameras()] == ["zoo", "attic", "middle"]


async def test_change_and_remove(store: Store) -> None:
    """A change replaces the fields, a removal forgets the row."""
    await store.add_camera(CAMERA)
    changed = config.Camera(id="gate", url="rtsp://192.0.2.2/", password="other")

    await store.change_camera(changed)
    assert await store.cameras() == [changed]

    await store.remove_camera("gate")
    assert await store.cameras() == []


async def test_an_id_is_taken_once(store: Store) -> None:
    """Adding it again is the asker's mistake, and changes nothing."""
    await store.add_camera(CAMERA)

    with pytest.raises(CameraExists):
        await store.add_camera(config.Camera(id="gate", url="rtsp://192.0.2.9/"))

    assert await store.cameras() == [CAMERA]


async def test_what_is_not_there_cannot_be_changed(store: Store) -> None:
    """Changing or removing an unknown camera says so."""
    with pytest.raises(NotFound):
        await store.change_camera(CAMERA)
    with pytest.raises(NotFound):
        await store.remove_camera("gate")


async def test_the_files_of_the_database_never_show_a_password(store: Store, tmp_path: Path) -> None:
    """Sealed on the way in, and gone from every page after the removal."""
    await store.add_camera(CAMERA)
    files = list(tmp_path.iterdir())
    assert files
    assert not any(CANARY.encode() in file.read_bytes() for file in files)


async def test_another_key_opens_nothing(store: Store, tmp_path: Path) -> None:
    """A stolen database without its key file shows no password, and the message says what to restore."""
    await store.add_camera(CAMERA)
    thief = Store(url_in(tmp_path), Seal(bytes(32)))
    await thief.open()

    with pytest.raises(ConfigError, match="does not open"):
        await thief.cameras()
    await thief.close()


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:S3cret@h/d", "sqlite+nosuch:///x"])
def test_a_bad_url_is_refused_without_repeating_it(url: str) -> None:
    """The URL of a database holds a password."""
    with pytest.raises(ConfigError) as caught:
        Store(url, Seal(KEY))
    assert "S3cret" not in str(caught.value)


async def test_a_file_that_is_no_database_is_said_without_a_traceback(tmp_path: Path) -> None:
    """The answer is 503 with a sentence, which repeats nothing of the URL."""
    (tmp_path / "camrelay.db").write_bytes(b"something else entirely" * 100)
    store = Store(url_in(tmp_path), Seal(KEY))

    with pytest.raises(StoreUnavailable) as caught:
        await store.open()
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(StoreUnavailable):
        await store.cameras()
    await store.close()
