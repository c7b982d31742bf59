"""Asking devices, honest and otherwise, in the process that does it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cameras.onvif_device import RECORDED, OnvifDevice, RecordedDevice
from camrelay import config
from camrelay.errors import BadAnswer, CameraAuthFailed, CameraUnreachable, EgressDenied, SourceError
from camrelay.ingest.device import Device, Profile
from camrelay.ingest.scout import Access, Scout

LOOPBACK = config.Egress(allow=("127.0.0.0/8",))


def access(device: OnvifDevice, **changes: Any) -> Access:
    return Access(
        **{"host": "127.0.0.1", "port": device.port, "username": "admin", "password": "right"} | changes
    )


async def described(device: OnvifDevice, *, may_send_password: bool = False, **changes: Any) -> Device:
    scout = Scout(LOOPBACK, may_send_password=may_send_password)
    return await scout.describe(access(device, **changes))


async def test_a_device_is_described() -> None:
    """Who made it, and its profiles with URLs at the host that was asked."""
    async with OnvifDevice() as device:
        found = await described(device)

    snapshot = f"http://127.0.0.1:{device.port}/snapshot"
    assert (found.manufacturer, found.model, found.firmware) == ("Acme", "Eye 2", "1.0")
    assert abs(found.clock_offset_s) < 2
    assert found.profiles == (
        Profile(
            *("main", "main stream", "H264", 1920, 1080, 25, 50, "MP4A-LATM"),
            rtsp_url="rtsp://127.0.0.1:554/live?channel=1&subtype=0",
            snapshot_uri=f"{snapshot}/main.jpg",
        ),
        Profile(
            *("sub", "sub stream", "H264", 640, 360, 25, 50, "MP4A-LATM"),
            rtsp_url="rtsp://127.0.0.1:554/sub",
            snapshot_uri=f"{snapshot}/sub.jpg",
        ),
    )
    assert device.refusals == 0


@pytest.mark.parametrize(
    "options",
    [
        {"clock_ahead_s": 3600},
        {"clock_ahead_s": -3600},
        {"http_digest": "MD5"},
        {"http_digest": "SHA-256"},
        {"xaddr": "http://0.0.0.0:{port}/onvif/media"},
        {"xaddr": "http://192.168.1.64:{port}/onvif/media"},
        {"media": (1,)},
        {"faults": {"GetSnapshotUri": "nonsense"}},
        {"clock_needs_password": True},
    ],
    ids=str,
)
async def test_a_peculiar_device_is_described_all_the_same(options: dict[str, Any]) -> None:
    """With a wrong clock, with HTTP Digest only, behind NAT, without address, without Media2."""
    async with OnvifDevice(**options) as device:
        found = await described(device)

    assert [each.token for each in found.profiles] == ["main", "sub"]
    assert all(each.rtsp_url for each in found.profiles)
    assert device.refusals == 0


async def test_recorded_answers_of_a_real_device_are_understood() -> None:
    """Those that npm's onvif 0.8.1 ships, with services and streams at an address behind NAT."""
    assert RECORDED.exists(), "npm ci installs it"
    async with RecordedDevice() as device:
        found = await described(device)

    (profile,) = found.profiles
    assert profile.rtsp_url == f"rtsp://127.0.0.1:{device.port}/h264main"
    assert (profile.name, profile.codec, profile.width, profile.gop_pictures) == ("main", "H264", 1920, 30)
    assert "resolution=800x600&compression=20" in profile.snapshot_uri
    assert found.manufacturer


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"xaddr": "http://evil.example/onvif/media"}, EgressDenied),
        ({"xaddr": "http://8.8.8.8:{port}/onvif/media"}, EgressDenied),
        ({"streams": {"main": "rtsp://evil.example/live"}}, EgressDenied),
        ({"faults": {"GetServices": "bomb"}}, BadAnswer),
        ({"faults": {"GetServices": "flood"}}, BadAnswer),
        ({"faults": {"GetServices": "nonsense"}}, BadAnswer),
        ({"faults": {"GetServices": "redirect"}}, BadAnswer),
        ({"faults": {"GetServices": "hang"}}, CameraUnreachable),
        ({"faults": {"GetServices": "drip"}}, CameraUnreachable),
    ],
    ids=str,
)
async def test_a_hostile_device_is_refused(options: dict[str, Any], error: type[SourceError]) -> None:
    """In seconds, with the reason, and without asking anybody else (abuse case 49)."""
    began = time.monotonic()
    async with OnvifDevice(**options) as device:
        with pytest.raises(error) as caught:
            await described(device)

    assert type(caught.value) is error
    assert time.monotonic() - began < 15
    assert "evil" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"http_digest": "MD5"}], ids=["signature", "http"])
async def test_a_wrong_password_is_tried_once(options: dict[str, Any]) -> None:
    """The device may lock the account after a few (camera fault F11)."""
    async with OnvifDevice(**options) as device:
        with pytest.raises(CameraAuthFailed):
            await described(device, password="wrong")

    assert device.refusals == 1


async def test_the_password_itself_is_sent_only_when_allowed() -> None:
    """Anybody on the way could read it."""
    async with OnvifDevice(takes_text=True) as device:
        with pytest.raises(CameraAuthFailed):
            await described(device)
        assert device.refusals == 1

        assert (await described(device, may_send_password=True)).model == "Eye 2"


async def test_a_device_outside_the_networks_is_not_asked() -> None:
    """Nor one whose service moves to a port that is not allowed."""
    async with OnvifDevice() as device:
        with pytest.raises(EgressDenied):
            await Scout(config.Egress()).describe(access(device))
        assert device.calls == []

        only_here = config.Egress(allow=(f"127.0.0.0/8:{device.port}",))
        async with OnvifDevice(xaddr=f"http://127.0.0.1:{device.port + 1}/onvif/media") as moved:
            only_there = config.Egress(allow=(f"127.0.0.0/8:{moved.port}",))
            with pytest.raises(EgressDenied):
                await Scout(only_there).describe(access(moved))
        assert (await Scout(only_here).describe(access(device))).profiles


async def test_a_key_frame_can_be_asked_for() -> None:
    """By SetSynchronizationPoint, at the newest service there is; a device without it is no fault."""
    scout = Scout(LOOPBACK)
    async with OnvifDevice() as device:
        await scout.synchronize(access(device), "sub")
        assert device.calls[-1] == "SetSynchronizationPoint"

    async with OnvifDevice(media=()) as device:
        await scout.synchronize(access(device), "sub")


async def test_nobody_there_is_unreachable() -> None:
    """In no time when the port is closed."""
    async with OnvifDevice() as device:
        pass
    with pytest.raises(CameraUnreachable):
        await described(device)


async def test_a_device_that_hangs_holds_nobody_up() -> None:
    """The event loop goes on while a process of its own waits (camera fault F19)."""
    async with OnvifDevice(faults={"GetDeviceInformation": "hang"}) as device:
        asking = asyncio.create_task(described(device))
        worst_s = 0.0
        while not asking.done():
            before = time.monotonic()
            await asyncio.sleep(0.01)
            worst_s = max(worst_s, time.monotonic() - before)
        with pytest.raises(CameraUnreachable):
            await asking

    assert worst_s < 1.0
