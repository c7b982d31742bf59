"""Pictures of key frames, from a process that may die."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import msgspec
import pytest

from camrelay.errors import Overloaded, WorkerLost
from camrelay.ingest import decoder as module
from camrelay.ingest.decoder import Decoder
from camrelay.ingest.keyframe import MAX_WIDTH, from_access_unit
from camrelay.model import AccessUnit
from camrelay.simulate.clip import clip
from camrelay.simulate.options import Picture
from stage import access_units

PICTURE = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=5)


@pytest.fixture(scope="module")
def key_frame() -> AccessUnit:
    """A real one."""
    return access_units(clip(PICTURE, "CAM 1"), PICTURE.fps)[0]


@pytest.fixture
async def decoder() -> AsyncIterator[Decoder]:
    """Stopped after the test."""
    running = Decoder()
    yield running
    await running.stop()


def test_a_key_frame_stands_alone(key_frame: AccessUnit) -> None:
    """With its parameter sets before its slices."""
    frame = from_access_unit(key_frame)

    assert (frame.codec, frame.max_width) == ("h264", MAX_WIDTH)
    assert [part[0] for part in frame.data.split(b"\x00\x00\x00\x01")[1:3]] == [0x67, 0x68]


async def test_key_frames_become_jpegs(decoder: Decoder, key_frame: AccessUnit) -> None:
    """One after the other, by the same process."""
    pictures = await asyncio.gather(*(decoder.jpeg(key_frame) for _ in range(3)))

    assert all(picture.startswith(b"\xff\xd8\xff") for picture in pictures)
    assert len(set(pictures)) == 1


async def test_what_holds_no_picture_is_empty(decoder: Decoder, key_frame: AccessUnit) -> None:
    """And the next one is made all the same."""
    assert await decoder.jpeg(msgspec.structs.replace(key_frame, data=b"\x00\x00\x00\x02\x65\x00")) == b""
    assert await decoder.jpeg(key_frame)


async def test_a_process_that_dies_is_replaced(decoder: Decoder, key_frame: AccessUnit) -> None:
    """It costs the picture that killed it."""
    await decoder.jpeg(key_frame)
    assert decoder._process is not None
    os.kill(decoder._process.process.pid, signal.SIGKILL)

    with pytest.raises(WorkerLost):
        await decoder.jpeg(key_frame)
    assert await decoder.jpeg(key_frame)


async def test_a_process_that_hangs_is_replaced(
    decoder: Decoder, key_frame: AccessUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it for ever."""
    await decoder.jpeg(key_frame)
    assert decoder._process is not None
    os.kill(decoder._process.process.pid, signal.SIGSTOP)
    with monkeypatch.context() as patched:
        patched.setattr(module, "PICTURE_S", 0.2)
        with pytest.raises(WorkerLost):
            await decoder.jpeg(key_frame)

    assert await decoder.jpeg(key_frame)


async def test_whoever_goes_away_takes_no_answer_along(decoder: Decoder, key_frame: AccessUnit) -> None:
    """The next one gets a picture of its own, not the one nobody waited for."""
    await decoder.jpeg(key_frame)
    leaving = asyncio.create_task(decoder.jpeg(key_frame))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait((leaving,))

    assert await decoder.jpeg(msgspec.structs.replace(key_frame, data=b"\x00\x00\x00\x02\x65\x00")) == b""


async def test_so_many_may_wait(decoder: Decoder, key_frame: AccessUnit) -> None:
    """One more would come too late."""
    waiting = [asyncio.create_task(decoder.jpeg(key_frame)) for _ in range(module.MAX_WAITING)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await decoder.jpeg(key_frame)

    assert all(await asyncio.gather(*waiting))
