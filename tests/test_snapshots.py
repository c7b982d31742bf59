"""GET /snapshot/{camera}.jpg, before a decoder that only counts."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from aiohttp import web

from builders import make_au
from camrelay import config, snapshots
from camrelay.errors import StreamNotReady, WorkerLost
from camrelay.fanout.hub import Hub
from camrelay.ingest.decoder import Decoder
from camrelay.model import AccessUnit, CameraId, CameraState, CameraStatus, EndReason, Protocol, Viewer
from camrelay.snapshots import Snapshots

NO_REQUEST = cast(web.Request, None)


class Counting:
    """A decoder.

    Attributes:
        asked: the key frames, in order.
        answers: what it does with the next ones; then pictures.
        may_go_on: cleared, nothing is finished.
    """

    def __init__(self) -> None:
        self.asked: list[AccessUnit] = []
        self.answers: list[Any] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def jpeg(self, key_frame: AccessUnit) -> bytes:
        self.asked.append(key_frame)
        await self.may_go_on.wait()
        answer = self.answers.pop(0) if self.answers else b"picture"
        if isinstance(answer, Exception):
            raise answer
        return cast(bytes, answer)


@pytest.fixture
def decoder() -> Counting:
    return Counting()


@pytest.fixture
def hub() -> Hub:
    return Hub(CameraId("cam1"), config.Ring())


@pytest.fixture
def served(decoder: Counting, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Snapshots:
    """Of one camera, without the least age of a picture."""
    monkeypatch.setattr(snapshots, "MIN_AGE_S", 0.0)
    return Snapshots(cast(Decoder, decoder), {"cam1": hub}.get)


def viewer() -> Viewer:
    return Viewer(id="v", session="s", camera=CameraId("cam1"), protocol=Protocol.SNAPSHOT, subject="")


async def test_the_last_key_frame_is_answered(served: Snapshots, hub: Hub) -> None:
    """With when it was taken, and the viewing ends with its bytes counted."""
    hub.publish(make_au(0, is_key=True))
    looking = viewer()

    answer = await served.snapshot(NO_REQUEST, looking)

    assert (answer.body, answer.content_type) == (b"picture", "image/jpeg")
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert "no-cache" in answer.headers["Cache-Control"]
    assert (looking.bytes_sent, looking.end_reason) == (7, EndReason.CLIENT_CLOSED)


async def test_a_picture_is_made_once_for_everybody(served: Snapshots, hub: Hub, decoder: Counting) -> None:
    """While it is in the making, and until there is a newer key frame."""
    hub.publish(make_au(0, is_key=True))
    decoder.may_go_on.clear()
    asking = [asyncio.create_task(served.snapshot(NO_REQUEST, viewer())) for _ in range(5)]
    await asyncio.sleep(0)
    decoder.may_go_on.set()
    await asyncio.gather(*asking)
    hub.publish(make_au(1))
    await served.snapshot(NO_REQUEST, viewer())
    assert len(decoder.asked) == 1

    hub.publish(make_au(2, is_key=True))
    await served.snapshot(NO_REQUEST, viewer())
    assert len(decoder.asked) == 2


async def test_key_frames_in_quick_succession_cost_one_picture(
    served: Snapshots, hub: Hub, decoder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second of them."""
    monkeypatch.setattr(snapshots, "MIN_AGE_S", 60.0)
    for number in range(5):
        hub.publish(make_au(number, is_key=True))
        await served.snapshot(NO_REQUEST, viewer())

    assert len(decoder.asked) == 1


async def test_a_camera_without_a_key_frame_has_no_picture(served: Snapshots) -> None:
    """The viewing ends all the same."""
    looking = viewer()

    with pytest.raises(StreamNotReady):
        await served.snapshot(NO_REQUEST, looking)

    assert looking.end_reason is EndReason.CLIENT_CLOSED


@pytest.mark.parametrize("failure", [b"", WorkerLost("died")], ids=["empty", "died"])
async def test_a_key_frame_that_cannot_be_decoded_is_said(
    served: Snapshots, hub: Hub, decoder: Counting, failure: Any
) -> None:
    """It is no fault of whoever asks."""
    decoder.answers = [failure]
    hub.publish(make_au(0, is_key=True))

    with pytest.raises(StreamNotReady):
        await served.snapshot(NO_REQUEST, viewer())


async def test_a_picture_that_failed_is_tried_again(served: Snapshots, hub: Hub, decoder: Counting) -> None:
    """The process that died of it may have died of something else."""
    decoder.answers = [WorkerLost("died")]
    hub.publish(make_au(0, is_key=True))
    with pytest.raises(StreamNotReady):
        await served.snapshot(NO_REQUEST, viewer())

    assert (await served.snapshot(NO_REQUEST, viewer())).body == b"picture"


async def test_whoever_leaves_does_not_take_the_picture_from_others(
    served: Snapshots, hub: Hub, decoder: Counting
) -> None:
    """It is made for all."""
    hub.publish(make_au(0, is_key=True))
    decoder.may_go_on.clear()
    leaving, staying = (asyncio.create_task(served.snapshot(NO_REQUEST, viewer())) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait((leaving,))
    decoder.may_go_on.set()

    assert (await staying).body == b"picture"


async def test_a_camera_that_was_just_removed_has_no_picture(decoder: Counting) -> None:
    """The gate let the request through a moment before."""
    with pytest.raises(StreamNotReady):
        await Snapshots(cast(Decoder, decoder), {}.get).snapshot(NO_REQUEST, viewer())


async def test_a_camera_on_its_way_is_waited_for(served: Snapshots, hub: Hub) -> None:
    """An on-demand camera connects for a picture too."""
    hub.set_status(CameraStatus(CameraState.STANDBY, 0))
    asking = asyncio.create_task(served.snapshot(NO_REQUEST, viewer()))
    await asyncio.sleep(0)
    assert not asking.done()

    hub.set_status(CameraStatus(CameraState.LIVE, 0))
    hub.publish(make_au(0, is_key=True))

    assert (await asking).body == b"picture"
