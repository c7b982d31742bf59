"""What a fault is: how its camera begins, what strikes it, and from when pictures are due again."""

from __future__ import annotations

import abc
import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ClassVar, NamedTuple

from benchmarks.faults.liar import Liar
from benchmarks.feed import Feed
from camrelay.simulate.options import Picture, Sound

PLAIN = Picture(width=640, height=360, bitrate_bps=800_000, gop_pictures=25)

#: As long as a camera needs to start again.
OUTAGE_S = 5.0

#: A camera may be tried again only half a minute after it failed last.
_RETURN_LIMIT_S = 60.0


class Scene(NamedTuple):
    """What is around a fault.

    Attributes:
        other: where `other_picture` is, "" without one.
        worker: the relay's process that reads the camera, 0 when that does not matter.
        company: the cameras that fail with this one, None without.
        hosts: the relay's own /etc/hosts, None where it has none.
        probe: has the relay ask the ONVIF device at a port of 127.0.0.1.
    """

    other: str = ""
    worker: int = 0
    company: Feed | None = None
    hosts: Path | None = None
    probe: Callable[[int], Awaitable[None]] | None = None


class Fault(abc.ABC):
    """One way to fail.

    Attributes:
        number: in the list of camera faults.
        picture, sound: what the camera sends.
        other_picture: what another camera sends that takes its place, None where none does.
        options: the camera's in the relay's configuration, besides its URL.
        host: the name by which the relay knows it, "" for its address.
        is_for_webrtc: False when WHEP has to refuse the camera, with the reason.
        fills_worker: True when every camera that the same worker of the relay reads suffers too.
        company: how many cameras fail in the same moment.
    """

    number: ClassVar[str]
    picture: ClassVar[Picture] = PLAIN
    sound: ClassVar[Sound] = "none"
    other_picture: ClassVar[Picture | None] = None
    options: ClassVar[dict[str, str]] = {}
    host: ClassVar[str] = ""
    is_for_webrtc: ClassVar[bool] = True
    fills_worker: ClassVar[bool] = False
    company: ClassVar[int] = 0

    def begin(self, liar: Liar) -> None:  # noqa: B027 - most faults begin with a camera that works
        """Before the relay connects."""

    @abc.abstractmethod
    async def strike(self, liar: Liar, scene: Scene) -> float:
        """Fails, and recovers.

        Returns:
            The monotonic second from which viewers should have pictures again: that of the first key frame
            after the fault, or of the fault itself when nothing was interrupted.
        """


async def reboot(liar: Liar) -> float:
    """Resets every connection, refuses new ones for a while, comes back; returns when pictures did."""
    liar.reset(refuse=True)
    await asyncio.sleep(OUTAGE_S)
    await liar.listen()
    return await key_after(liar, time.monotonic())


async def key_after(liar: Liar, moment: float) -> float:
    """When the first key frame after `moment` passed; `moment` itself if none did, which loses viewers."""
    deadline = moment + _RETURN_LIMIT_S
    while time.monotonic() < deadline:
        if liar.key_passed_at > moment:
            return liar.key_passed_at
        await asyncio.sleep(0.01)
    return moment


async def key_of_next_session(liar: Liar) -> float:
    """The same of the next session that the relay opens: until then nobody may read what passes."""
    sessions, deadline = liar.connections, time.monotonic() + _RETURN_LIMIT_S
    while time.monotonic() < deadline:
        if liar.connections > sessions:
            break
        await asyncio.sleep(0.01)
    return await key_after(liar, time.monotonic())


def resized(answer: bytes) -> bytes:
    """An answer whose body was changed, with a Content-Length that is true again."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    length = b"Content-Length: %d" % len(body)
    return re.sub(rb"Content-Length: *\d+", length, head, flags=re.IGNORECASE) + separator + body
