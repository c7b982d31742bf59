"""A camera that lies: a proxy between the relay and a simulated camera that bends what passes.

It reads RTSP just far enough to find heads, bodies and interleaved packets (RFC 2326 §10.12). A lie may edit
heads, replace packets, hold everything back, or refuse connections; without one, bytes pass unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

Packets = Callable[[bytearray], Iterable[bytes | bytearray]]

#: A linger of nothing: closing sends RST, as a camera that loses power and comes back does.
_ABORT = struct.pack("ii", 1, 0)

_NAL_IDR, _NAL_SPS, _STAP_A, _FU_A = 5, 7, 24, 28


def is_key_start(packet: bytes | bytearray) -> bool:
    """Whether an interleaved RTP packet begins a key frame, or its parameter sets (RFC 6184 §5.2)."""
    kind = packet[16] & 0x1F
    if kind == _FU_A:
        return bool(packet[17] & 0x80) and packet[17] & 0x1F == _NAL_IDR
    return kind in (_NAL_IDR, _NAL_SPS) or (kind == _STAP_A and packet[19] & 0x1F == _NAL_SPS)


def unchanged(packet: bytearray) -> Iterable[bytes | bytearray]:
    """No lie."""
    return (packet,)


class Liar:
    """One lying camera.

    Attributes:
        packets: what becomes of each RTP packet, header of four bytes included.
        heads: what becomes of each answer, head and body.
        holds_back: True swallows every byte both ways while connections stand.
        head_delay_s: how long each answer takes.
        key_passed_at: when a key frame last began to pass, on the monotonic clock; 0 before.
        connections: accepted so far.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self.packets: Packets = unchanged
        self.heads: Callable[[bytes], bytes] = lambda answer: answer
        self.holds_back = False
        self.head_delay_s = 0.0
        self.key_passed_at = 0.0
        self.connections = 0
        self._port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Liar:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.reset(refuse=True)

    @property
    def url(self) -> str:
        """Where the relay finds it."""
        return f"rtsp://127.0.0.1:{self._port}{self._upstream.path}"

    async def listen(self) -> None:
        """Takes connections, on the same port every time."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def reset(self, *, refuse: bool) -> None:
        """Cuts every connection with RST; refuses new ones until `listen` if told to."""
        if refuse and self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            with contextlib.suppress(OSError):
                each = writer.get_extra_info("socket")
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            answers, camera = await asyncio.open_connection("127.0.0.1", self._upstream.port)
            self._writers.add(camera)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        ends = [
            asyncio.ensure_future(self._requests(reader, camera)),
            asyncio.ensure_future(self._answers(answers, writer)),
        ]
        # Whichever side ends takes the other along.
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, camera):
            each.transport.abort()
            self._writers.discard(each)
        await asyncio.gather(*ends, return_exceptions=True)

    async def _requests(self, relay: asyncio.StreamReader, camera: asyncio.StreamWriter) -> None:
        while data := await relay.read(65_536):
            if not self.holds_back:
                camera.write(data)
                await camera.drain()

    async def _answers(self, camera: asyncio.StreamReader, relay: asyncio.StreamWriter) -> None:
        while True:
            first = await camera.readexactly(1)
            if first == b"$":
                await self._packet(camera, relay)
                continue
            answer = first + await camera.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length:\s*(\d+)", answer, re.IGNORECASE)
            answer += await camera.readexactly(int(length[1]) if length else 0)
            await asyncio.sleep(self.head_delay_s)
            if not self.holds_back:
                relay.write(self.heads(answer))

    async def _packet(self, camera: asyncio.StreamReader, relay: asyncio.StreamWriter) -> None:
        head = await camera.readexactly(3)
        size = int.from_bytes(head[1:], "big")
        packet = bytearray(b"$" + head + await camera.readexactly(size))
        is_rtp = packet[1] % 2 == 0 and size > 16
        for each in self.packets(packet) if is_rtp else (packet,):
            if self.holds_back:
                return
            if is_rtp and is_key_start(each):
                self.key_passed_at = time.monotonic()
            relay.write(each)
        await relay.drain()
