"""Asks cameras for key frames when a viewer waits for one: SetSynchronizationPoint, of ONVIF devices.

Rules:

- A camera is asked at most every INTERVAL_S: a key frame costs every viewer of it bandwidth.
- One that cannot be asked is left alone for PAUSE_S, and viewers wait for its next key frame as before.
- One camera is asked at a time: each question is a process, and has the credit of what else asks devices.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from camrelay import config
from camrelay.errors import Overloaded, SourceError
from camrelay.ingest.egress import parse_camera_url
from camrelay.ingest.scout import Access

logger = logging.getLogger("camrelay.ingest")

#: A question takes a second or two until its key frame is here; cameras' own GOPs are seldom longer.
INTERVAL_S = 10.0
#: After a failure: whatever it was, people mend it in minutes, not in seconds.
PAUSE_S = 600.0

Synchronize = Callable[[Access, str], Awaitable[None]]


class KeyFrames:
    """Asks for key frames.

    Args:
        synchronize: has a profile of a device send one now; raises SourceError or Overloaded.
    """

    def __init__(self, synchronize: Synchronize) -> None:
        self._synchronize = synchronize
        #: Camera -> when it may be asked again, in monotonic seconds.
        self._not_before: dict[str, float] = {}
        self._asking: asyncio.Task[None] | None = None

    def want(self, camera: config.Camera) -> None:
        """Somebody waits for a key frame of this camera. Returns at once, and mostly does nothing."""
        now = asyncio.get_running_loop().time()
        is_busy = self._asking is not None and not self._asking.done()
        if not camera.onvif_profile or is_busy or now < self._not_before.get(camera.id, 0.0):
            return
        self._not_before[camera.id] = now + INTERVAL_S
        self._asking = asyncio.create_task(self._ask(camera))

    def forget(self, camera_id: str) -> None:
        """A camera was removed or changed."""
        self._not_before.pop(camera_id, None)

    async def stop(self) -> None:
        """Asks nobody any more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait((self._asking,))

    async def _ask(self, camera: config.Camera) -> None:
        host = parse_camera_url(camera.url).host.strip("[]")
        access = Access(host, camera.onvif_port, camera.username, camera.password)
        try:
            await self._synchronize(access, camera.onvif_profile)
        except Overloaded:
            return
        except SourceError as error:
            logger.info("no key frame on demand: %s", error.code, extra={"camera": camera.id})
            self._not_before[camera.id] = asyncio.get_running_loop().time() + PAUSE_S
