"""The faults, one class each: what goes wrong, from when to when (camera faults F1 to F20)."""

from __future__ import annotations

import abc
import asyncio
import itertools
import os
import random
import re
import signal
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults.liar import Liar, is_key_start, unchanged
from benchmarks.sampling import family
from camrelay.simulate.options import Picture

PLAIN = Picture(width=640, height=360, bitrate_bps=800_000, gop_pictures=25)

#: RFC 3550 §12.1
_SENDER_REPORT = 200

#: As long as a camera needs to start again.
OUTAGE_S = 5.0


class Scene(NamedTuple):
    """What is around a fault: the relay's process, and where `other_picture` is, "" without one."""

    relay: int
    other: str


class Fault(abc.ABC):
    """One way to fail.

    Attributes:
        number: in the list of camera faults.
        picture: what the camera sends.
        other_picture: what another camera sends that takes its place, None where none does.
        is_for_webrtc: False when WHEP has to refuse the camera, with the reason.
        kills: the relay's worker; every camera that it reads then suffers.
    """

    number: str
    picture: Picture = PLAIN
    other_picture: Picture | None = None
    is_for_webrtc = True
    kills = False

    def begin(self, liar: Liar) -> None:  # noqa: B027 - most faults begin with a camera that works
        """Before the relay connects."""

    @abc.abstractmethod
    async def strike(self, liar: Liar, scene: Scene) -> float:
        """Fails, and recovers.

        Returns:
            The monotonic second from which viewers should have pictures again: that of the first key frame
            after the fault, or of the fault itself when nothing was interrupted.
        """


class Reboot(Fault):
    """The camera resets its connections, refuses new ones for a while, and comes back."""

    number = "F1"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        liar.reset(refuse=True)
        await asyncio.sleep(OUTAGE_S)
        await liar.listen()
        return await key_after(liar, time.monotonic())


class HalfOpen(Fault):
    """The connection stands and nothing comes any more, not even an answer."""

    number = "F2"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        liar.holds_back = True
        await asyncio.sleep(OUTAGE_S)
        liar.holds_back = False
        liar.reset(refuse=False)
        return await key_after(liar, time.monotonic())


class MediaSilence(Fault):
    """RTSP and RTCP are alive, and there is no video."""

    number = "F3"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        liar.packets = lambda packet: ()
        await asyncio.sleep(OUTAGE_S)
        liar.packets = unchanged
        return await key_after(liar, time.monotonic())


class _Timestamps(Fault):
    """RTP timestamps are moved by `ticks` from one packet to the next."""

    ticks = 0

    async def strike(self, liar: Liar, scene: Scene) -> float:
        def moved(packet: bytearray) -> Iterable[bytes | bytearray]:
            (timestamp,) = struct.unpack_from("!I", packet, 8)
            struct.pack_into("!I", packet, 8, (timestamp + self.ticks) & 0xFFFF_FFFF)
            return (packet,)

        liar.packets = moved
        return await key_after(liar, time.monotonic())


class WorkerDies(Fault):
    """The worker that reads the camera is killed by a signal, as a crash would."""

    number = "F5"
    kills = True

    async def strike(self, liar: Liar, scene: Scene) -> float:
        workers = [pid for pid in family(scene.relay)[1:] if _is_worker(pid)]
        began = time.monotonic()
        # The first one has the first cameras.
        os.kill(min(workers), signal.SIGSEGV)
        return await key_after(liar, began)


class TimestampsAhead(_Timestamps):
    """The camera's clock jumps an hour ahead."""

    number = "F6a"
    ticks = 3600 * 90_000


class TimestampsBack(_Timestamps):
    """The camera's clock jumps an hour back."""

    number = "F6b"
    ticks = -3600 * 90_000


class TimestampsWrap(_Timestamps):
    """RTP timestamps come to the end of their 32 bits half a second later, and begin anew."""

    number = "F6c"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        self.ticks = (1 << 32) - 45_000 - liar.timestamp
        return await super().strike(liar, scene)


class Resolution(Fault):
    """In the middle of a session, pictures come in another size."""

    number = "F7"
    other_picture = Picture(width=320, height=180, bitrate_bps=800_000, gop_pictures=25)

    async def strike(self, liar: Liar, scene: Scene) -> float:
        began = time.monotonic()
        liar.other = scene.other
        return await key_after(liar, began)


class SilentSdp(Fault):
    """The SDP has no parameter sets; the camera reboots as well."""

    number = "F8a"

    def begin(self, liar: Liar) -> None:
        liar.heads = lambda answer: _resized(re.sub(rb"sprop-parameter-sets=[^;\r\n]*", b"x=y", answer))

    async def strike(self, liar: Liar, scene: Scene) -> float:
        return await Reboot().strike(liar, scene)


class SdpOnly(Fault):
    """The parameter sets are in the SDP and nowhere else; the camera reboots as well."""

    number = "F8b"

    def begin(self, liar: Liar) -> None:
        def stripped(packet: bytearray) -> Iterable[bytes | bytearray]:
            kind = packet[16] & 0x1F
            return () if kind in (7, 8, 24) else (packet,)

        liar.packets = stripped

    async def strike(self, liar: Liar, scene: Scene) -> float:
        return await Reboot().strike(liar, scene)


class LongGop(Fault):
    """A key frame every ten seconds, and a reboot."""

    number = "F9"
    picture = Picture(width=640, height=360, bitrate_bps=800_000, gop_pictures=250)

    async def strike(self, liar: Liar, scene: Scene) -> float:
        return await Reboot().strike(liar, scene)


class Loss(Fault):
    """One packet in fifty is lost for three seconds."""

    number = "F10"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        dice = random.Random(10)

        def lossy(packet: bytearray) -> Iterable[bytes | bytearray]:
            return () if dice.random() < 0.02 else (packet,)

        liar.packets = lossy
        await asyncio.sleep(3)
        liar.packets = unchanged
        return await key_after(liar, time.monotonic())


class WrongClock(Fault):
    """The camera's sender reports say 1970, then 2038; the camera reboots as well."""

    number = "F13"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        seconds = itertools.cycle((2_208_988_800, 4_354_819_200))

        def dated(packet: bytearray) -> Iterable[bytes | bytearray]:
            if packet[5] == _SENDER_REPORT:
                struct.pack_into("!I", packet, 12, next(seconds))
            return (packet,)

        liar.reports = dated
        return await Reboot().strike(liar, scene)


class BFrames(Fault):
    """The camera sends B-frames, and reboots; WHEP has to refuse it."""

    number = "F14"
    picture = Picture(width=640, height=360, bitrate_bps=800_000, gop_pictures=25, b_frames=2)
    is_for_webrtc = False

    async def strike(self, liar: Liar, scene: Scene) -> float:
        return await Reboot().strike(liar, scene)


class Corruption(Fault):
    """For a second, packets hold noise where the picture should be."""

    number = "F15"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        dice = random.Random(15)

        def noisy(packet: bytearray) -> Iterable[bytes | bytearray]:
            if not is_key_start(packet):
                packet[16:] = dice.randbytes(len(packet) - 16)
            return (packet,)

        liar.packets = noisy
        await asyncio.sleep(1)
        liar.packets = unchanged
        return await key_after(liar, time.monotonic())


class OneSession(Fault):
    """The camera resets the connection and has no session left for three seconds: 453."""

    number = "F16"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        def full(answer: bytes) -> bytes:
            sequence = re.search(rb"CSeq: *(\d+)", answer, re.IGNORECASE)
            number = sequence[1] if sequence else b"0"
            return b"RTSP/1.0 453 Not Enough Bandwidth\r\nCSeq: " + number + b"\r\n\r\n"

        liar.heads = full
        liar.reset(refuse=False)
        await asyncio.sleep(3)
        liar.heads = lambda answer: answer
        return await key_after(liar, time.monotonic())


class SlowSetup(Fault):
    """The camera reboots and then takes two seconds for each answer."""

    number = "F17"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        liar.head_delay_s = 2.0
        return await Reboot().strike(liar, scene)


FAULTS: tuple[type[Fault], ...] = (
    Reboot, HalfOpen, MediaSilence, WorkerDies, TimestampsAhead, TimestampsBack, TimestampsWrap, Resolution,
    SilentSdp, SdpOnly, LongGop, Loss, WrongClock, BFrames, Corruption, OneSession, SlowSetup,
)  # fmt: skip

#: A camera may be tried again only half a minute after it failed last.
_RETURN_LIMIT_S = 60.0


async def key_after(liar: Liar, moment: float) -> float:
    """When the first key frame after `moment` passed; `moment` itself if none did, which loses viewers."""
    deadline = moment + _RETURN_LIMIT_S
    while time.monotonic() < deadline:
        if liar.key_passed_at > moment:
            return liar.key_passed_at
        await asyncio.sleep(0.01)
    return moment


def _is_worker(pid: int) -> bool:
    return b"camrelay.ingest.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _resized(answer: bytes) -> bytes:
    """The answer with a Content-Length that is true again."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    length = b"Content-Length: %d" % len(body)
    return re.sub(rb"Content-Length: *\d+", length, head, flags=re.IGNORECASE) + separator + body
