"""Faults in which a camera, or what reads it, is away, refuses, or is slow."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from typing import ClassVar

from benchmarks.faults.fault import (
    OUTAGE_S,
    Fault,
    Scene,
    key_after,
    key_of_next_session,
    reboot,
)
from benchmarks.faults.liar import Liar, unchanged


class Reboot(Fault):
    """The camera resets its connections, refuses new ones for a while, and comes back."""

    number = "F1"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        return await reboot(liar)


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


class WorkerHangs(Fault):
    """The worker that reads the camera hangs, and lets go of nothing until it is killed."""

    number = "F4"
    fills_worker = True

    async def strike(self, liar: Liar, scene: Scene) -> float:
        os.kill(scene.worker, signal.SIGSTOP)
        return await key_of_next_session(liar)


class WorkerDies(Fault):
    """The worker that reads the camera is killed by a signal, as a crash would."""

    number = "F5"
    fills_worker = True

    async def strike(self, liar: Liar, scene: Scene) -> float:
        os.kill(scene.worker, signal.SIGSEGV)
        return await key_of_next_session(liar)


class PasswordRefused(Fault):
    """The camera reboots, and refuses the password once before it takes it again."""

    number = "F11"
    options: ClassVar[dict[str, str]] = {"username": "viewer", "password": "of-f11"}

    async def strike(self, liar: Liar, scene: Scene) -> float:
        # A challenge, and the refusal of what answers it.
        refusals = iter(range(2))

        def asking(answer: bytes) -> bytes:
            if next(refusals, None) is None:
                return answer
            challenge = b'WWW-Authenticate: Digest realm="f11", nonce="1"\r\n'
            return refusal(answer, b"401 Unauthorized", challenge)

        liar.heads = asking
        return await reboot(liar)


class NewAddress(Fault):
    """The camera reboots at another address; its name, which the relay knows, tells it."""

    number = "F12"
    host = "camera-f12.test"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        assert scene.hosts is not None, "the relay knows names of its own"
        liar.reset(refuse=True)
        await asyncio.sleep(OUTAGE_S)
        liar.address = "127.0.0.2"
        # In place: the file is mounted.
        scene.hosts.write_text(f"{liar.address} {self.host}\n")
        await liar.listen()
        return await key_after(liar, time.monotonic())


class OneSession(Fault):
    """The camera resets the connection and has no session left for three seconds: 453."""

    number = "F16"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        liar.heads = lambda answer: refusal(answer, b"453 Not Enough Bandwidth")
        liar.reset(refuse=False)
        await asyncio.sleep(3)
        liar.heads = lambda answer: answer
        return await key_after(liar, time.monotonic())


class SlowSetup(Fault):
    """The camera reboots and then takes two seconds for each answer."""

    number = "F17"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        liar.head_delay_s = 2.0
        return await reboot(liar)


class MassReturn(Fault):
    """The camera and 63 others lose power, and come back in the same moment."""

    number = "F18"
    company = 63

    async def strike(self, liar: Liar, scene: Scene) -> float:
        assert scene.company is not None, "in company"
        liar.reset(refuse=True)
        await scene.company.stop()
        await asyncio.sleep(OUTAGE_S)
        await scene.company.start()
        await liar.listen()
        return await key_after(liar, time.monotonic())


class DeviceHangs(Fault):
    """The camera reboots; its ONVIF device takes every call and answers none, while four ask it."""

    number = "F19"

    async def strike(self, liar: Liar, scene: Scene) -> float:
        assert scene.probe is not None, "there is a relay"

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()

        device = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = device.sockets[0].getsockname()[1]
        asking = [asyncio.ensure_future(scene.probe(port)) for _ in range(4)]
        try:
            return await reboot(liar)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            device.close()


def refusal(answer: bytes, status: bytes, headers: bytes = b"") -> bytes:
    """An answer that says no instead, to the same request."""
    sequence = re.search(rb"CSeq: *(\d+)", answer, re.IGNORECASE)
    number = sequence[1] if sequence else b"0"
    return b"RTSP/1.0 " + status + b"\r\nCSeq: " + number + b"\r\n" + headers + b"\r\n"
