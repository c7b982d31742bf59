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

from camrelay.ingest.conversation import Conversation
from camrelay.ingest.target import Target

Packets = Callable[[bytearray], Iterable[bytes | bytearray]]

#: A linger of nothing: closing sends RST, as a camera that loses power and comes back does.
_ABORT = struct.pack("ii", 1, 0)

#: RTP header behind the four bytes of interleaving: sequence number, timestamp and SSRC.
_RTP = struct.Struct("!HII")
_RTP_AT = 6

#: The channels that camrelay asks for; sound has those above.
_VIDEO_RTP, _VIDEO_RTCP = 0, 1

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
        address: where it listens from the next `listen` on.
        packets: what becomes of each RTP packet of the picture, header of four bytes included.
        reports: what becomes of each RTCP packet about it.
        sounds: what becomes of each packet of the sound, and about it.
        heads: what becomes of each answer, head and body.
        other: a camera whose pictures come instead from now on, in the same session; "" for none.
        holds_back: True swallows every byte both ways while connections stand.
        head_delay_s: how long each answer takes.
        key_passed_at: when a key frame last began to pass, on the monotonic clock; 0 before.
        connections: accepted so far.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self.address = "127.0.0.1"
        self.packets: Packets = unchanged
        self.reports: Packets = unchanged
        self.sounds: Packets = unchanged
        self.heads: Callable[[bytes], bytes] = lambda answer: answer
        self.other = ""
        self.holds_back = False
        self.head_delay_s = 0.0
        self.key_passed_at = 0.0
        self.connections = 0
        self._port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._last = (0, 0, 0)

    async def __aenter__(self) -> Liar:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.reset(refuse=True)

    @property
    def url(self) -> str:
        """Where the relay finds it."""
        return self.url_at(self.address)

    def url_at(self, host: str) -> str:
        """The same by a name of its address."""
        return f"rtsp://{host}:{self._port}{self._upstream.path}"

    @property
    def timestamp(self) -> int:
        """Of the RTP packet that passed last."""
        return self._last[1]

    async def listen(self) -> None:
        """Takes connections, on the same port every time."""
        self._server = await asyncio.start_server(self._serve, self.address, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def reset(self, *, refuse: bool) -> None:
        """Cuts every connection with RST; refuses new ones until `listen` if told to."""
        if refuse and self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            with contextlib.suppress(OSError, ValueError):  # uvloop's ValueError: closed already
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
            if not self.holds_back and not self.other:
                camera.write(data)
                await camera.drain()

    async def _answers(self, camera: asyncio.StreamReader, relay: asyncio.StreamWriter) -> None:
        while not self.other:
            message = await _message(camera)
            if message[0] == ord("$"):
                await self._pass(message, relay)
                continue
            await asyncio.sleep(self.head_delay_s)
            if not self.holds_back:
                relay.write(self.heads(bytes(message)))
        await self._pass_other(relay)

    async def _pass_other(self, relay: asyncio.StreamWriter) -> None:
        """The other camera from a key frame on, its sequence numbers and clock where the first one's were."""
        camera, writer = await _play(self.other)
        self._writers.add(writer)
        shifts: tuple[int, int] | None = None
        while True:
            packet = await _message(camera)
            if not _is_rtp(packet) or (shifts is None and not is_key_start(packet)):
                continue
            sequence, timestamp, _ = _RTP.unpack_from(packet, _RTP_AT)
            last_sequence, last_timestamp, ssrc = self._last
            if shifts is None:
                shifts = last_sequence + 1 - sequence, last_timestamp + 3600 - timestamp
            moved = (sequence + shifts[0]) & 0xFFFF, (timestamp + shifts[1]) & 0xFFFF_FFFF, ssrc
            _RTP.pack_into(packet, _RTP_AT, *moved)
            await self._pass(packet, relay)

    async def _pass(self, packet: bytearray, relay: asyncio.StreamWriter) -> None:
        is_rtp = _is_rtp(packet)
        lie = self.packets if is_rtp else self.reports if packet[1] == _VIDEO_RTCP else self.sounds
        for each in lie(packet):
            if self.holds_back:
                return
            if is_rtp:
                self._last = _RTP.unpack_from(each, _RTP_AT)
                if is_key_start(each):
                    self.key_passed_at = time.monotonic()
            relay.write(each)
        await relay.drain()


def _is_rtp(packet: bytes | bytearray) -> bool:
    """Whether it is a packet of the picture."""
    return packet[0] == ord("$") and packet[1] == _VIDEO_RTP and len(packet) > 20


async def _message(camera: asyncio.StreamReader) -> bytearray:
    """An interleaved packet, or a head with its body."""
    first = await camera.readexactly(1)
    if first == b"$":
        head = await camera.readexactly(3)
        return bytearray(first + head + await camera.readexactly(int.from_bytes(head[1:], "big")))
    answer = bytearray(first + await camera.readuntil(b"\r\n\r\n"))
    length = re.search(rb"content-length:\s*(\d+)", answer, re.IGNORECASE)
    return answer + await camera.readexactly(int(length[1]) if length else 0)


async def _play(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A camera that plays on a connection, media not yet read."""
    parts = urlsplit(url)
    assert parts.port, "a simulated camera has a port"
    target = Target("127.0.0.1", parts.port, parts.netloc, parts.path)
    conversation = Conversation(target, own_address="127.0.0.1", udp_port=None, cnonce="", ssrc=1)
    reader, writer = await asyncio.open_connection(target.address, target.port)
    writer.write(conversation.begin())
    while not conversation.is_playing:
        writer.write(conversation.receive(bytes(await _message(reader))))
    return reader, writer
