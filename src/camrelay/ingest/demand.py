"""When an on-demand camera is read: from its first viewer until a while after its last.

A viewing counts whatever carries it, from the moment the gate let it through. The connection lingers, because
who reloads a page or turns from one protocol to the other has left and come back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from camrelay.ingest.source import Report
from camrelay.model import CameraState, CameraStatus, Viewer

logger = logging.getLogger("camrelay.ingest")


class Demand:
    """The viewers of one on-demand camera, and the life that goes on while there are any.

    Args:
        camera: its id, for the log.
        live: the camera's whole life while it is wanted; ended by cancelling it.
        report: gets the state of standing by.
        linger_s: how long after its last viewer the camera is still wanted, in seconds.
    """

    def __init__(
        self, camera: str, live: Callable[[], Coroutine[Any, Any, None]], report: Report, linger_s: float
    ) -> None:
        self._camera = camera
        self._live = live
        self._report = report
        self._linger_s = linger_s
        self._viewers: set[str] = set()
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._lingering: asyncio.TimerHandle | None = None

    def watch(self, viewer: Viewer) -> None:
        """Counts a viewing until it ends; counting it again changes nothing."""
        if viewer.id in self._viewers:
            return
        self._viewers.add(viewer.id)
        if self._lingering is not None:
            self._lingering.cancel()
        self._unwanted.clear()
        self._wanted.set()
        viewer.on_end(lambda _: self._leave(viewer.id))

    async def run(self) -> None:
        """Stands by, lives, stands by again, until it is cancelled."""
        while True:
            self._report(CameraStatus(CameraState.STANDBY, time.time_ns() // 1000))
            logger.info("standby", extra={"camera": self._camera})
            await self._wanted.wait()
            life = asyncio.create_task(self._live())
            try:
                await self._unwanted.wait()
            finally:
                life.cancel()
                await asyncio.wait((life,))

    def _leave(self, viewer: str) -> None:
        self._viewers.remove(viewer)
        if not self._viewers:
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(self._linger_s, self._rest)

    def _rest(self) -> None:
        self._wanted.clear()
        self._unwanted.set()
