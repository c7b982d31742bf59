"""An owner's tier limits how many viewings of their cameras there are at once."""

from __future__ import annotations

from collections import Counter

import pytest

from camrelay.auth.account import Tier
from camrelay.config import Camera
from camrelay.errors import Overloaded
from camrelay.room import Room

CAMERAS = [
    Camera(id="door", url="rtsp://192.0.2.1/", owner="anna"),
    Camera(id="yard", url="rtsp://192.0.2.1/", owner="anna"),
    Camera(id="pier", url="rtsp://192.0.2.1/", owner="bert"),
    Camera(id="hall", url="rtsp://192.0.2.1/"),
]


async def test_viewings_of_all_cameras_of_an_owner_count() -> None:
    """Others' do not; the operators' cameras, unknown ones and owners without a tier have no limit."""
    running = Counter(door=1, yard=1, pier=50, hall=50)

    async def tier(account: str) -> Tier | None:
        return Tier("main", "home", 1, 3) if account == "anna" else None

    room = Room(lambda: CAMERAS, tier, running.__getitem__)
    for camera in (*CAMERAS, None):
        await room.check(camera)

    running["yard"] += 1
    for camera in CAMERAS[:2]:
        with pytest.raises(Overloaded):
            await room.check(camera)
    for camera in CAMERAS[2:]:
        await room.check(camera)
