"""One camera's run through its sound: which packets are due when a picture leaves."""

from __future__ import annotations

import struct

import msgspec

from camrelay.simulate.rtp import sender_report

#: Nobody listened for longer than this: what was not heard is left out.
_MAX_DUE_S = 1

_HEADER = struct.Struct(">BBHII")


class Tone(msgspec.Struct, frozen=True):
    """A loop of sound. `name` and `format` are its rtpmap and fmtp, `samples` is what each payload lasts."""

    name: str
    payload_type: int
    clock_rate: int
    samples: int
    payloads: tuple[bytes, ...]
    format: str = ""


class Soundtrack:
    """The endless loop of one camera.

    Args:
        fps: pictures per second, so ticks per second.
        sequence, timestamp, ssrc: to start with.
    """

    def __init__(self, tone: Tone, fps: int, *, sequence: int, timestamp: int, ssrc: int) -> None:
        self._tone = tone
        self._fps = fps
        self._first_sequence = sequence
        self._first_timestamp = timestamp
        self._ssrc = ssrc
        #: Packets that are in the past.
        self._count = 0
        self._sent = 0

    def due(self, tick: int) -> list[bytes]:
        """The RTP packets of the time up to this tick."""
        count = tick * self._tone.clock_rate // (self._fps * self._tone.samples)
        if (count - self._count) * self._tone.samples > _MAX_DUE_S * self._tone.clock_rate:
            self._count = count
        packets = [self._packet(number) for number in range(self._count, count)]
        self._count = max(self._count, count)
        self._sent += len(packets)
        return packets

    def sender_report(self, tick: int, now_us: int, cname: str) -> bytes:
        """RTCP that ties the RTP clock at `tick` to the wall clock."""
        at = self._first_timestamp + tick * self._tone.clock_rate // self._fps & 0xFFFFFFFF
        octets = self._sent * len(self._tone.payloads[0])
        return sender_report(self._ssrc, now_us, at, self._sent, octets, cname)

    def _packet(self, number: int) -> bytes:
        tone = self._tone
        header = _HEADER.pack(
            0x80,
            # The marker: every AAC packet ends an access unit (RFC 3640 §3.1), and none begins a talkspurt.
            tone.payload_type | (0x80 if tone.format else 0),
            self._first_sequence + number & 0xFFFF,
            self._first_timestamp + number * tone.samples & 0xFFFFFFFF,
            self._ssrc,
        )
        return header + tone.payloads[number % len(tone.payloads)]
