"""The meeting point of a camera's stream: what arrives goes into the ring and to every output, in that order.

The hub knows no protocol. Outputs are called synchronously and must be quick; one that raises is detached,
logged and counted, so that it can hurt neither the camera nor the other outputs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from camrelay import config, metrics
from camrelay.errors import StreamNotReady
from camrelay.fanout.ring import Ring
from camrelay.model import (
    AccessUnit,
    AudioUnit,
    CameraId,
    CameraState,
    CameraStatus,
    Rendition,
    VideoParams,
)

logger = logging.getLogger("camrelay.fanout")

#: Whoever asks before the first key frame waits this long for it: cameras need a second or two to connect,
#: and some send a key frame every few seconds only.
FIRST_PICTURE_S = 10.0
#: When to ask again after that.
_RETRY_S = 2


class Output(Protocol):
    """What can be attached to a hub. Both methods run inside the camera's own call: no waiting in them."""

    def access_unit(self, au: AccessUnit) -> None:
        """Takes the newest access unit; it is in the ring already."""
        ...

    def status(self, status: CameraStatus) -> None:
        """Learns that the camera's state changed."""
        ...


class Hub:
    """Fans one stream of a camera out to its outputs.

    Attributes:
        camera: whose access units these are.
        rendition: and of which of its streams.
        ring: the last seconds of them.
        status: the camera's last known state, None before the first word from the source.
        params: of the newest access unit, None before the first one.
        want_key_frame: what to call when a viewer waits for one; the camera may be able to send one.
    """

    def __init__(self, camera: CameraId, limits: config.Ring, rendition: Rendition = Rendition.MAIN) -> None:
        self.camera = camera
        self.rendition = rendition
        self.ring = Ring(limits.seconds, limits.max_bytes)
        self.status: CameraStatus | None = None
        self.params: VideoParams | None = None
        self.want_key_frame: Callable[[], None] = lambda: None
        # Replaced, never changed: an output may attach or detach while the hub walks the tuple.
        self._outputs: tuple[Output, ...] = ()
        self._hearers: tuple[Callable[[AudioUnit], None], ...] = ()
        self._turned = asyncio.Event()

    def attach(self, output: Output) -> Callable[[], None]:
        """Adds an output, which learns the state at once and gets every access unit from the next one on.

        What came before is in `ring`. As attaching is synchronous, reading the ring in the same tick leaves
        neither gap nor repetition.

        Returns:
            A function that detaches it; calling it twice does no harm.
        """
        self._outputs = (*self._outputs, output)
        if self.status is not None:
            self._tell(output, output.status, self.status)
        return lambda: self._detach(output)

    def publish(self, au: AccessUnit) -> None:
        """Takes the camera's newest access unit."""
        self.params = au.params
        self.ring.append(au)
        for output in self._outputs:
            # Not through _tell: this is the hottest call of the relay.
            try:
                output.access_unit(au)
            except Exception:
                self._expel(output)

    def hear(self, hearer: Callable[[AudioUnit], None]) -> Callable[[], None]:
        """Has somebody hear the camera too. A hearer must be quick, and is left out once it raises.

        Returns:
            A function that takes it back; calling it twice does no harm.
        """
        self._hearers = (*self._hearers, hearer)
        return lambda: self._unhear(hearer)

    def publish_sound(self, unit: AudioUnit) -> None:
        """Takes the camera's newest sound. It is not kept: who joins hears what comes."""
        for hearer in self._hearers:
            try:
                hearer(unit)
            except Exception:
                self._unhear(hearer)
                metrics.camera_output_failures.labels(self.camera).inc()
                logger.exception("an output of sound failed, detached", extra={"camera": self.camera})

    def _unhear(self, hearer: Callable[[AudioUnit], None]) -> None:
        self._hearers = tuple(other for other in self._hearers if other is not hearer)

    def set_status(self, status: CameraStatus) -> None:
        """Takes the camera's new state. What is held of one that goes to rest is forgotten."""
        self.status = status
        if status.state is CameraState.STANDBY:
            self.ring.clear()
        turned, self._turned = self._turned, asyncio.Event()
        turned.set()
        for output in self._outputs:
            self._tell(output, output.status, status)

    async def live(self) -> None:
        """Returns when the camera is live; one that is on its way is waited for.

        Raises:
            StreamNotReady: it is offline, or does not come within FIRST_PICTURE_S.
        """
        try:
            async with asyncio.timeout(FIRST_PICTURE_S):
                while self.status is not None and self.status.state is not CameraState.LIVE:
                    if self.status.state is CameraState.OFFLINE:
                        break
                    await self._turned.wait()
        except TimeoutError:
            pass
        if self.status is None or self.status.state is not CameraState.LIVE:
            raise StreamNotReady("the camera has no live picture", retry_after_s=_RETRY_S)

    def _tell(self, output: Output, call: Callable[[CameraStatus], None], status: CameraStatus) -> None:
        try:
            call(status)
        except Exception:
            self._expel(output)

    def _expel(self, output: Output) -> None:
        self._detach(output)
        metrics.camera_output_failures.labels(self.camera).inc()
        logger.exception("output %s failed, detached", type(output).__name__, extra={"camera": self.camera})

    def _detach(self, output: Output) -> None:
        self._outputs = tuple(other for other in self._outputs if other is not output)

    def __repr__(self) -> str:
        state = self.status.state if self.status else "no state yet"
        return f"<Hub {self.camera}/{self.rendition} {state}, {len(self._outputs)} outputs, {self.ring!r}>"
