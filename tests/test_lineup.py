"""Cameras come, change and go while camrelay runs, and none of it touches another camera."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from camrelay import config
from camrelay.camera_store import CameraStore
from camrelay.database import Database
from camrelay.errors import BadRequest, CameraExists, ConfigError, EgressDenied, NotFound
from camrelay.lineup import Channel, Lineup
from camrelay.model import Rendition
from camrelay.sealing import Seal

FIXED = config.Camera(id="door", url="rtsp://192.168.1.2/live")
NEW = config.Camera(id="gate", url="rtsp://192.168.1.3/live", password="S3cret")


class Stage:
    """What happened to channels, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def attach(self, channel: Channel) -> None:
        self.events.append(f"+{channel.camera.id}")

    async def detach(self, channel: Channel) -> None:
        self.events.append(f"-{channel.camera.id}")

    async def changed(self, camera: config.Camera) -> None:
        self.events.append(f"~{camera.id}")

    async def removed(self, camera: str) -> None:
        self.events.append(f"x{camera}")


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CameraStore]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/camrelay.db")
    await database.open()
    yield CameraStore(database, Seal(bytes(32)))
    await database.close()


def hooks(stage: Stage) -> dict[str, Any]:
    """What a lineup is told to tell."""
    return {
        "attach": stage.attach,
        "detach": stage.detach,
        "changed": stage.changed,
        "removed": stage.removed,
    }


@pytest.fixture
async def lineup(stage: Stage, store: CameraStore) -> Lineup:
    made = Lineup(config.Config(camera=(FIXED,)), store, **hooks(stage))
    await made.open()
    return made


async def test_a_new_camera_connects_and_is_there_after_a_restart(
    lineup: Lineup, stage: Stage, store: CameraStore
) -> None:
    """Registering stores and attaches; the next start finds it behind the configured ones."""
    await lineup.add(NEW)
    assert stage.events == ["+door", "+gate"]
    assert lineup.camera("gate") == NEW

    again = Lineup(config.Config(camera=(FIXED,)), store, **hooks(stage))
    await again.open()

    assert list(again.channels) == ["door", "gate"]
    assert again.camera("gate") == NEW


async def test_a_new_title_leaves_the_stream_alone(lineup: Lineup, stage: Stage) -> None:
    """What viewers watch goes on; what they read changes."""
    channel = await lineup.add(NEW)

    changed = await lineup.change("gate", {"title": "The gate"})

    assert changed is channel
    assert channel.camera.title == "The gate"
    assert channel.camera.password == "S3cret"
    assert stage.events == ["+door", "+gate", "~gate"]


async def test_a_step_of_visibility_is_told_and_leaves_the_stream_alone(lineup: Lineup, stage: Stage) -> None:
    """Whoever may still watch goes on; only what is public is another stream, because caches may keep it."""
    await lineup.add(NEW)
    await lineup.change("gate", {"visibility": "shared"})
    await lineup.change("gate", {"visibility": "members"})

    assert stage.events == ["+door", "+gate", "~gate", "~gate"]


@pytest.mark.parametrize(
    "change",
    [{"url": "rtsp://192.168.1.9/"}, {"visibility": "public"}, {"sub_url": "rtsp://192.168.1.3/small"}],
)
async def test_a_new_way_to_the_camera_starts_it_anew(
    lineup: Lineup, stage: Stage, change: dict[str, object]
) -> None:
    """Only that camera reconnects; its viewings end because the right to them may have changed."""
    await lineup.add(NEW)

    await lineup.change("gate", change)

    assert stage.events == ["+door", "+gate", "-gate", "+gate"]


async def test_a_second_stream_is_read_beside_the_first(lineup: Lineup) -> None:
    """Under a name of its own, with the camera's account; where there is none, there is one stream."""
    channel = await lineup.add(NEW)
    assert channel.streams == [(NEW, channel.hub)]

    channel = await lineup.change("gate", {"sub_url": "rtsp://192.168.1.3/small", "onvif_profile": "main"})

    (main, hub), (sub, smaller) = channel.streams
    assert (main.id, hub.rendition) == ("gate", Rendition.MAIN)
    assert (sub.id, smaller.rendition) == ("gate/sub", Rendition.SUB)
    assert (sub.url, sub.password) == ("rtsp://192.168.1.3/small", "S3cret")
    assert sub.onvif_profile == ""
    assert hub.camera == smaller.camera == "gate"


async def test_removing_forgets_it(lineup: Lineup, stage: Stage, store: CameraStore) -> None:
    """Detached, gone from the list and from the store."""
    await lineup.add(NEW)

    await lineup.remove("gate")

    assert stage.events[-2:] == ["-gate", "xgate"]
    assert lineup.camera("gate") is None
    assert await store.cameras() == []


@pytest.mark.parametrize(
    ("camera", "error"),
    [
        (config.Camera(id="door", url="rtsp://192.168.1.3/"), CameraExists),
        (config.Camera(id="new", url="http://192.168.1.3/"), ConfigError),
        (config.Camera(id="new", url="rtsps://192.168.1.3/", transport="udp"), ConfigError),
        (config.Camera(id="new", url="rtsp://127.0.0.1/"), EgressDenied),
        (config.Camera(id="new", url="rtsp://169.254.169.254/"), EgressDenied),
        (config.Camera(id="new", url="rtsp://192.168.1.3/", sub_url="rtsp://127.0.0.1/"), EgressDenied),
        (config.Camera(id="new", url="rtsp://192.168.1.3/", sub_url="small"), ConfigError),
    ],
)
async def test_what_may_not_be_registered_leaves_no_trace(
    lineup: Lineup, stage: Stage, store: CameraStore, camera: config.Camera, error: type[Exception]
) -> None:
    """A taken id, a URL that is none, an address no camera may have: refused before anything happens."""
    with pytest.raises(error):
        await lineup.add(camera)

    assert stage.events == ["+door"]
    assert await store.cameras() == []


async def test_a_forbidden_address_cannot_come_in_by_a_change(lineup: Lineup, stage: Stage) -> None:
    """Abuse case 43 by the back door."""
    await lineup.add(NEW)

    with pytest.raises(EgressDenied):
        await lineup.change("gate", {"url": "rtsp://127.0.0.1/"})

    assert lineup.camera("gate") == NEW


async def test_configured_cameras_are_changed_in_the_file(lineup: Lineup) -> None:
    """Two places to change one thing would drift apart."""
    with pytest.raises(BadRequest, match="configuration file"):
        await lineup.remove("door")
    with pytest.raises(BadRequest, match="configuration file"):
        await lineup.change("door", {"title": "x"})


async def test_unknown_cameras_are_not_found(lineup: Lineup) -> None:
    """Nothing to change, nothing to remove."""
    with pytest.raises(NotFound):
        await lineup.remove("nobody")
    with pytest.raises(NotFound):
        await lineup.change("nobody", {})


async def test_what_another_relay_did_is_done_here(lineup: Lineup, stage: Stage, store: CameraStore) -> None:
    """New cameras come, others change or go; those of the file and those that stayed are left alone."""
    for id in ("gate", "yard", "hall", "roof"):
        await lineup.add(msgspec.structs.replace(NEW, id=id))
    stage.events.clear()
    await store.remove_camera("gate")
    await store.change_camera(msgspec.structs.replace(NEW, id="yard", title="Yard"))
    await store.change_camera(msgspec.structs.replace(NEW, id="hall", url="rtsp://192.168.1.9/"))
    await store.add_camera(msgspec.structs.replace(NEW, id="attic"))
    await store.add_camera(msgspec.structs.replace(NEW, id="door"))

    await lineup.refresh()

    assert stage.events[0] == "-gate"
    assert sorted(stage.events) == sorted(["-gate", "~yard", "-hall", "+hall", "+attic"])
    assert lineup.camera("gate") is None
    assert lineup.camera("door") == FIXED
    yard = lineup.camera("yard")
    assert yard is not None
    assert yard.title == "Yard"
    stage.events.clear()
    await lineup.refresh()
    assert stage.events == []


async def test_a_camera_that_is_being_added_is_not_begun_twice(
    lineup: Lineup, stage: Stage, store: CameraStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stored already, and the news of it comes back before it runs."""
    refreshing: list[asyncio.Task[None]] = []
    add = store.add_camera

    async def add_and_tell(camera: config.Camera) -> None:
        await add(camera)
        refreshing.append(asyncio.create_task(lineup.refresh()))
        await asyncio.sleep(0)

    monkeypatch.setattr(store, "add_camera", add_and_tell)
    await lineup.add(NEW)
    await asyncio.gather(*refreshing)
    assert stage.events == ["+door", "+gate"]
