"""One simulated camera: its timeline, and who receives it.

A receiver that cannot keep up skips to the next key frame, and is dropped when it does not take anything for
long. It never holds up anybody else: nothing here waits.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Protocol

from camrelay.simulate.options import Options
from camrelay.simulate.rtp import Train, interleaved
from camrelay.simulate.rtsp import Transport
from camrelay.simulate.soundtrack import Soundtrack, Tone
from camrelay.simulate.timeline import Cue, Departure, Timeline

#: What may wait here for a receiver, besides what the kernel holds: four seconds of a 2 Mb/s camera.
MAX_WAITING_BYTES = 1_000_000

#: A receiver over its limit for this long is hopeless.
MAX_LAG_S = 10.0

#: Seconds between sender reports (RFC 3550 §6.2 asks for about five).
REPORT_S = 5


class Receiver(Protocol):
    """Where a camera's access units go."""

    def send(self, departure: Departure, now: float) -> None:
        """Sends one access unit, or leaves it out."""
        ...

    def report(self, packet: bytes) -> None:
        """Sends one RTCP packet."""
        ...

    def send_sound(self, packets: Sequence[bytes]) -> None:
        """Sends packets of the second track, to who has set it up."""
        ...

    def report_sound(self, packet: bytes) -> None:
        """Sends one RTCP packet of the second track."""
        ...


class Datagrams(Protocol):
    """A datagram transport, as far as it is used here; asyncio's own type forgets the buffer's size."""

    def get_write_buffer_size(self) -> int: ...

    def sendto(self, data: bytes, addr: tuple[str, int]) -> None: ...


class TcpReceiver:
    """A client that takes its packets between the RTSP messages of its connection."""

    def __init__(
        self, transport: asyncio.Transport, channels: Transport, sound: Transport | None = None
    ) -> None:
        self._transport = transport
        self._channels = channels
        self._sound = sound
        self._is_skipping = True
        self._lagging_since: float | None = None

    def send(self, departure: Departure, now: float) -> None:
        if self._is_skipping and not departure.is_key:
            return
        self._is_skipping = self._transport.get_write_buffer_size() > MAX_WAITING_BYTES
        if not self._is_skipping:
            self._lagging_since = None
            self._transport.write(departure.interleaved(self._channels.rtp))
        elif self._lagging_since is None:
            self._lagging_since = now
        elif now - self._lagging_since > MAX_LAG_S:
            self._transport.abort()

    def report(self, packet: bytes) -> None:
        if not self._is_skipping:
            self._transport.write(interleaved(self._channels.rtcp, packet))

    def send_sound(self, packets: Sequence[bytes]) -> None:
        if self._sound is not None and not self._is_skipping:
            self._transport.write(b"".join(interleaved(self._sound.rtp, packet) for packet in packets))

    def report_sound(self, packet: bytes) -> None:
        if self._sound is not None and not self._is_skipping:
            self._transport.write(interleaved(self._sound.rtcp, packet))


class UdpReceiver:
    """A client that takes its packets as datagrams."""

    def __init__(
        self, rtp: Datagrams, rtcp: Datagrams, host: str, ports: Transport, sound: Transport | None = None
    ) -> None:
        self._rtp, self._rtcp = rtp, rtcp
        self._host = host
        self._sound = sound
        self._rtp_address = (host, ports.rtp)
        self._rtcp_address = (host, ports.rtcp)
        self._is_skipping = True

    def send(self, departure: Departure, now: float) -> None:
        if self._is_skipping and not departure.is_key:
            return
        self._is_skipping = self._rtp.get_write_buffer_size() > MAX_WAITING_BYTES
        if not self._is_skipping:
            for packet in departure.datagrams():
                self._rtp.sendto(packet, self._rtp_address)

    def report(self, packet: bytes) -> None:
        self._rtcp.sendto(packet, self._rtcp_address)

    def send_sound(self, packets: Sequence[bytes]) -> None:
        if self._sound is not None and not self._is_skipping:
            for packet in packets:
                self._rtp.sendto(packet, (self._host, self._sound.rtp))

    def report_sound(self, packet: bytes) -> None:
        if self._sound is not None:
            self._rtcp.sendto(packet, (self._host, self._sound.rtcp))


class Camera:
    """Camera number `number`, counted from 1.

    Attributes:
        is_mute: set, no sound is sent, although the description promises it.
    """

    def __init__(
        self, number: int, trains: Sequence[Train], sdp: bytes, options: Options, tone: Tone | None = None
    ) -> None:
        self.number = number
        self.sdp = sdp
        self._trains = trains
        self._options = options
        self.is_mute = False
        self._tone = tone
        self._receivers: list[Receiver] = []
        self._next_report = 0
        self.restart()

    def restart(self) -> None:
        """Begins a new timeline, as a camera does that was switched off and on."""
        options = self._options
        cue = Cue(
            secrets.randbits(16) if options.first_sequence is None else options.first_sequence,
            secrets.randbits(32) if options.first_timestamp is None else options.first_timestamp,
            secrets.randbits(32),
        )
        self._timeline = Timeline(self._trains, options.picture.fps, cue)
        self._soundtrack: Soundtrack | None = None
        if self._tone is not None:
            self._soundtrack = Soundtrack(
                self._tone,
                options.picture.fps,
                sequence=secrets.randbits(16),
                timestamp=secrets.randbits(32),
                ssrc=secrets.randbits(32),
            )

    def cue(self, tick: int) -> Cue:
        """What a receiver that starts now gets first, if `tick` is the next."""
        return self._timeline.cue(tick)

    def attach(self, receiver: Receiver) -> None:
        """Sends to this receiver too, from the next key frame on."""
        self._receivers.append(receiver)
        self._next_report = 0

    def detach(self, receiver: Receiver) -> None:
        """Sends to this receiver no more."""
        self._receivers.remove(receiver)
        if not self._receivers:
            self._timeline.rewind()

    def depart(self, tick: int, now: float, now_us: int) -> None:
        """Sends the next access unit to everybody. Without receivers the camera stands still."""
        if not self._receivers:
            return
        departure = self._timeline.depart(tick, now_us)
        for receiver in tuple(self._receivers):
            receiver.send(departure, now)
        packets = self._soundtrack.due(tick) if self._soundtrack is not None else ()
        for receiver in self._receivers if packets and not self.is_mute else ():
            receiver.send_sound(packets)
        if tick >= self._next_report:
            self._next_report = tick + REPORT_S * self._options.picture.fps
            report = self._timeline.sender_report(tick, now_us, f"cam{self.number}")
            for receiver in self._receivers:
                receiver.report(report)
            if self._soundtrack is not None:
                report = self._soundtrack.sender_report(tick, now_us, f"cam{self.number}")
                for receiver in self._receivers:
                    receiver.report_sound(report)
