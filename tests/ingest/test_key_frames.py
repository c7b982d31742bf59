"""Cameras are asked for key frames, not too often and not in vain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from camrelay import config
from camrelay.errors import CamrelayError, CredentialsOnHold, Overloaded
from camrelay.ingest import key_frames
from camrelay.ingest.key_frames import INTERVAL_S, KeyFrames
from camrelay.ingest.scout import Access

YARD = config.Camera(
    id="yard",
    url="rtsp://10.0.0.9/live",
    username="admin",
    password="secret",
    onvif_port=8000,
    onvif_profile="main",
)
GATE = config.Camera(id="gate", url="rtsp://[fd00::9]/live", onvif_profile="main")


class Device:
    """Remembers who was asked for what; answers when told to, or fails."""

    def __init__(self) -> None:
        self.asked: list[tuple[Access, str]] = []
        self.error: CamrelayError | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def synchronize(self, access: Access, profile: str) -> None:
        self.asked.append((access, profile))
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
async def device() -> Device:
    return Device()


@pytest.fixture
async def asking(device: Device) -> AsyncIterator[KeyFrames]:
    made = KeyFrames(device.synchronize)
    yield made
    await made.stop()


async def answered(asking: KeyFrames) -> None:
    assert asking._asking is not None
    await asyncio.wait((asking._asking,), timeout=5)


async def test_the_profile_of_the_stream_is_asked(device: Device, asking: KeyFrames) -> None:
    """At the camera's own host, with its own account."""
    asking.want(YARD)
    await answered(asking)

    ((access, profile),) = device.asked
    assert (access.host, access.port, access.username, access.password) == (
        "10.0.0.9",
        8000,
        "admin",
        "secret",
    )
    assert profile == "main"


async def test_a_camera_is_asked_once_in_a_while(
    device: Device, asking: KeyFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many viewers wait."""
    for _ in range(100):
        asking.want(YARD)
    await answered(asking)
    asking.want(YARD)
    assert len(device.asked) == 1

    monkeypatch.setattr(key_frames, "INTERVAL_S", 0.0)
    asking.forget("yard")
    for expected in (2, 3):
        asking.want(YARD)
        await answered(asking)
        assert len(device.asked) == expected


async def test_one_camera_is_asked_at_a_time(device: Device, asking: KeyFrames) -> None:
    """The others are not put off for long: nothing is remembered against them."""
    device.may_answer.clear()
    asking.want(YARD)
    await asyncio.sleep(0)
    asking.want(GATE)
    device.may_answer.set()
    await answered(asking)

    asking.want(GATE)
    await answered(asking)

    assert [access.host for access, _ in device.asked] == ["10.0.0.9", "fd00::9"]


@pytest.mark.parametrize(
    ("error", "is_left_alone"), [(CredentialsOnHold(0), True), (Overloaded("busy"), False)]
)
async def test_a_camera_that_cannot_be_asked_is_left_alone(
    device: Device,
    asking: KeyFrames,
    monkeypatch: pytest.MonkeyPatch,
    error: CamrelayError,
    is_left_alone: bool,
) -> None:
    """Unless that was not its fault."""
    monkeypatch.setattr(key_frames, "INTERVAL_S", 0.0)
    device.error = error
    asking.want(YARD)
    await answered(asking)

    asking.want(YARD)
    await answered(asking)

    assert len(device.asked) == (1 if is_left_alone else 2)


async def test_a_camera_without_onvif_is_never_asked(device: Device, asking: KeyFrames) -> None:
    """Nobody knows how."""
    asking.want(config.Camera(id="pier", url="rtsp://10.0.0.9/live"))

    assert asking._asking is None
    assert INTERVAL_S > 0
    assert device.asked == []
