"""Faults of what a camera sends: clocks, parameter sets, pictures, sound."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import struct
import time
from collections.abc import Iterable

from benchmarks.faults.fault import Fault, Scene, key_after, reboot, resized
from benchmarks.faults.liar import Liar, is_key_start, unchanged
from camrelay.simulate.options import Picture

#: RFC 3550 §12.1
_SENDER_REPORT = 200


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
        liar.heads = lambda answer: resized(re.sub(rb"sprop-parameter-sets=[^;\r\n]*", b"x=y", answer))

    async def strike(self, liar: Liar, scene: Scene) -> float:
        return await reboot(liar)


class SdpOnly(Fault):
    """The parameter sets are in the SDP and nowhere else; the camera reboots as well."""

    number = "F8b"

    def begin(self, liar: Liar) -> None:
        def stripped(packet: bytearray) -> Iterable[bytes | bytearray]:
            kind = packet[16] & 0x1F
            return () if kind in (7, 8, 24) else (packet,)

        liar.packets = stripped

    async def strike(self, liar: Liar, scene: Scene) -> float:
        return await reboot(liar)


class LongGop(Fault):
    """A key frame every ten seconds, and a reboot."""

    number = "F9"
    picture = Picture(width=640, height=360, bitrate_bps=800_000, gop_pictures=250)

    async def strike(self, liar: Liar, scene: Scene) -> float:
        return await reboot(liar)


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
        return await reboot(liar)


class BFrames(Fault):
    """The camera sends B-frames, and reboots; WHEP has to refuse it."""

    number = "F14"
    picture = Picture(width=640, height=360, bitrate_bps=800_000, gop_pictures=25, b_frames=2)
    is_for_webrtc = False

    async def strike(self, liar: Liar, scene: Scene) -> float:
        return await reboot(liar)


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


def without_sound(answer: bytes) -> bytes:
    """An answer whose SDP, if there is one, ends before the sound (RFC 8866 §5.14)."""
    return resized(re.sub(rb"m=audio .*", b"", answer, flags=re.DOTALL))


class SoundGoes(Fault):
    """The sound stops in the middle of a session; then the camera reboots and has none any more."""

    number = "F20a"
    sound = "aac"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        liar.sounds = lambda packet: ()
        await asyncio.sleep(2)
        liar.heads = without_sound
        return await reboot(liar)


class SoundComes(Fault):
    """The camera had no sound, and has some after a reboot."""

    number = "F20b"
    sound = "aac"

    def begin(self, liar: Liar) -> None:
        liar.heads = without_sound

    async def strike(self, liar: Liar, scene: Scene) -> float:
        liar.heads = lambda answer: answer
        return await reboot(liar)
