"""GET /snapshot/{camera}.jpg: the last key frame as a picture.

A picture is made once and kept until the camera has a newer key frame. A camera that is on its way is waited
for; of one that is away the last picture stays, and Last-Modified says when it was taken. Every request is a
viewing with a record, however short.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from email.utils import formatdate
from weakref import WeakKeyDictionary

from aiohttp import web

from camrelay.errors import StreamNotReady, WorkerLost
from camrelay.fanout.hub import Hub
from camrelay.ingest.decoder import Decoder
from camrelay.model import AccessUnit, EndReason, Viewer

#: A camera whose every picture is a key frame would keep the decoder busy by itself.
MIN_AGE_S = 1.0


class _Picture:
    """A JPEG in the making, or made."""

    def __init__(self, key_frame: AccessUnit, making: asyncio.Task[bytes], now: float) -> None:
        self.key_frame = key_frame
        self.making = making
        self.since = now

    def serves(self, key_frame: AccessUnit) -> bool:
        """Whether it is the picture of that key frame; one that could not be made is tried again."""
        has_failed = self.making.done() and (self.making.cancelled() or self.making.exception() is not None)
        return self.key_frame is key_frame and not has_failed


class Snapshots:
    """The handler.

    Args:
        hub: of a camera; the gate has let the request through, so there is one, or has just been.
    """

    def __init__(self, decoder: Decoder, hub: Callable[[str], Hub | None]) -> None:
        self._decoder = decoder
        self._hub = hub
        self._pictures: WeakKeyDictionary[Hub, _Picture] = WeakKeyDictionary()

    async def snapshot(self, request: web.Request, viewer: Viewer) -> web.Response:
        """The picture.

        Raises:
            StreamNotReady: the camera has not shown a key frame, or it holds no picture.
            Overloaded: too many cameras' pictures are asked for.
        """
        try:
            hub = self._hub(viewer.camera)
            if hub is not None:
                with contextlib.suppress(StreamNotReady):
                    await hub.live()
            picture = hub and self._picture(hub)
            if not picture:
                raise StreamNotReady("the camera has not shown a picture yet")
            try:
                jpeg = await asyncio.shield(picture.making)
            except WorkerLost:
                jpeg = b""
            if not jpeg:
                raise StreamNotReady("the camera's last key frame holds no picture")
            viewer.bytes_sent += len(jpeg)
            taken = formatdate(picture.key_frame.arrived_us / 1e6, usegmt=True)
            return web.Response(
                body=jpeg,
                content_type="image/jpeg",
                headers={"Cache-Control": "private, no-cache", "Last-Modified": taken},
            )
        finally:
            viewer.end(EndReason.CLIENT_CLOSED)

    def _picture(self, hub: Hub) -> _Picture | None:
        """The newest picture of a camera; everybody who asks meanwhile gets the same one."""
        now = asyncio.get_running_loop().time()
        known = self._pictures.get(hub)
        units = hub.ring.since_last_key()
        if not units or (known and (known.serves(units[0]) or now - known.since < MIN_AGE_S)):
            return known
        making = asyncio.create_task(self._decoder.jpeg(units[0]))
        # Whoever asked may have gone by then, and nobody else would take the error.
        making.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._pictures[hub] = _Picture(units[0], making, now)
        return self._pictures[hub]
