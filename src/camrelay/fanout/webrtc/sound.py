"""One camera's sound to those of its viewers who can hear it: Opus or G.711, as the camera made it.

A packet is numbered, stamped and given its header once; per viewer there remain an encryption and a send. The
camera never waits: `hear` only queues, and what cannot be sent in time is left out. Sound never holds up a
picture: it has a queue and a task of its own, and takes turns like everybody.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import NamedTuple

from camrelay import metrics
from camrelay.fanout.hub import Hub
from camrelay.fanout.webrtc import rtcp
from camrelay.fanout.webrtc.rtp import PacketFormat
from camrelay.fanout.webrtc.sender import WRAP_MARGIN, Sender
from camrelay.fanout.webrtc.srtp import Session
from camrelay.fanout.webrtc.turns import PACKETS_PER_TURN, Turns
from camrelay.fanout.webrtc.udp import Port
from camrelay.model import CLOCK_RATE, AudioCodec, AudioUnit, EndReason, Protocol

#: A second of packets of 20 ms; older sound is of no use to anybody who watches live.
MAX_QUEUED = 50
#: Timestamps go on in samples as long as the clock of the pictures agrees to within this, in seconds: what
#: rounding and jitter make of it must not be heard as a crackle.
TOLERANCE_S = 0.04


class _Packet(NamedTuple):
    """A packet of sound, numbered; `number` and `timestamp` never wrap."""

    codec: AudioCodec
    number: int
    timestamp: int
    payload: bytes


class Listener:
    """What one viewer needs to hear.

    Args:
        sender: of the pictures that go with it: whose address it is, and whose bytes they are.
        session: the viewer's keys.
        form: of its packets; viewers with equal forms share headers.
        codec: that was agreed on; other sound is not for this viewer.
        cname: as of the pictures, so that browsers play both in step.
    """

    def __init__(
        self, sender: Sender, session: Session, form: PacketFormat, codec: AudioCodec, cname: str
    ) -> None:
        self.sender = sender
        self.form = form
        self.codec = codec
        self.stream = session.stream(form)
        self._session = session
        self._cname = cname.encode()
        self._octets = 0

    def protect(self, header: bytes, packet: _Packet) -> bytes | None:
        """The datagram for this viewer, its bytes counted; None for the first ones if a wrap is near."""
        # Whoever misses everything up to the wrap would not know that there was one (RFC 3711 §3.3.1).
        if not self.stream.count and packet.number % 0x10000 > 0x10000 - WRAP_MARGIN:
            return None
        datagram = self.stream.protect_packet(header, packet.payload, packet.number)
        self._octets += len(packet.payload)
        self.sender.sound_bytes += len(datagram)
        self.sender.viewer.bytes_sent += len(datagram)
        return datagram

    def report(self, now_us: int, timestamp: int) -> bytes:
        """A sender report with the RTP time of the UTC microsecond `now_us`, encrypted."""
        return self._session.protect_rtcp(
            rtcp.sender_report(
                self.form.ssrc,
                self._cname,
                now_us=now_us,
                timestamp=timestamp,
                packets=self.stream.count,
                octets=self._octets,
            )
        )


class Broadcast:
    """The sound of one camera; `hear` is to be given to its hub.

    Attributes:
        ssrc: of every viewer of this camera.
    """

    def __init__(self, hub: Hub, port: Port, turns: Turns) -> None:
        self.ssrc = secrets.randbits(32)
        self._hub = hub
        self._port = port
        self._turns = turns
        self._next = secrets.randbits(15)
        self._epoch = secrets.randbits(31)
        self._expected: int | None = None
        self._rate = 1
        self._queue: deque[_Packet] = deque(maxlen=MAX_QUEUED)
        self._wake = asyncio.Event()
        self._listeners: dict[Listener, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._count_packets = metrics.rtp_packets.labels(hub.camera)
        self._count_bytes = metrics.viewer_bytes.labels(hub.camera, Protocol.WEBRTC)

    def hear(self, unit: AudioUnit) -> None:
        """Queues the newest sound."""
        codec = unit.params.codec
        if not self._listeners or codec is AudioCodec.AAC:
            return
        self._rate = unit.params.clock_rate
        timestamp = self._at(unit.pts)
        if self._expected is not None and abs(timestamp - self._expected) <= TOLERANCE_S * self._rate:
            timestamp = self._expected
        self._expected = timestamp + unit.duration
        self._queue.append(_Packet(codec, self._next, timestamp, unit.data))
        self._next += 1
        self._wake.set()

    def rtp_time(self, pts: int) -> int:
        """What the RTP clock of the sound shows when that of the pictures' is at `pts`."""
        return self._at(pts)

    def join(self, listener: Listener) -> None:
        """Lets a viewer hear what comes from now on."""
        self._listeners[listener] = None
        if self._task is None:
            self._task = asyncio.create_task(self._send_all(), name=f"sound {self._hub.camera}")

    def leave(self, listener: Listener) -> None:
        """Sends a viewer nothing more, from this moment on."""
        self._listeners.pop(listener, None)
        listener.stream.close()
        if not self._listeners:
            self.close()

    def close(self) -> None:
        """Stops sending."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._queue.clear()
        self._expected = None

    def _at(self, pts: int) -> int:
        return pts * self._rate // CLOCK_RATE + self._epoch

    async def _send_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._send(self._queue.popleft())

    async def _send(self, packet: _Packet) -> None:
        headers: dict[PacketFormat, bytes] = {}
        listeners = [listener for listener in self._listeners if listener.codec is packet.codec]
        for at in range(0, len(listeners), PACKETS_PER_TURN):
            some = listeners[at : at + PACKETS_PER_TURN]
            await self._turns.take(len(some))
            sizes_bytes = []
            for listener in some:
                # Somebody may have left while others had their turn.
                if listener in self._listeners:
                    form = listener.form
                    if form not in headers:
                        headers[form] = form.raw_header(packet.number, packet.timestamp, 0, 0)
                    sizes_bytes.append(self._send_to(listener, headers[form], packet))
            self._count_packets.inc(sum(map(bool, sizes_bytes)))
            self._count_bytes.inc(sum(sizes_bytes))

    def _send_to(self, listener: Listener, header: bytes, packet: _Packet) -> int:
        """Sends a packet to one viewer; how many bytes that were."""
        try:
            datagram = listener.protect(header, packet)
        except ValueError:
            listener.sender.viewer.end(EndReason.CLIENT_GONE)
            return 0
        if datagram is None:
            return 0
        self._port.send(datagram, listener.sender.address)
        return len(datagram)
