"""One camera's run through its loop: which access unit is next, under which sequence number and timestamp.

The shell names the tick, a count of picture intervals since the simulator started. Timestamps follow the
tick, pictures follow each other: when the shell was held up and leaves ticks out, the clock stays right and
no picture is missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from camrelay.simulate import rtp
from camrelay.simulate.rtp import Train


class Cue(msgspec.Struct, frozen=True):
    """What the first packet a new receiver gets will look like: the values of RTP-Info and Transport."""

    sequence: int
    timestamp: int
    ssrc: int


class Departure:
    """One access unit on its way, stamped once per channel however many receive it."""

    __slots__ = ("_sequence", "_ssrc", "_stamped", "is_key", "sent_us", "timestamp", "train")

    def __init__(self, train: Train, sequence: int, timestamp: int, ssrc: int, sent_us: int) -> None:
        self.train = train
        self.is_key = train.is_key
        self.timestamp = timestamp
        self.sent_us = sent_us
        self._sequence = sequence
        self._ssrc = ssrc
        self._stamped: dict[int, bytes] = {}

    def interleaved(self, channel: int) -> bytes:
        """Every packet, interleaved on `channel`."""
        data = self._stamped.get(channel)
        if data is None:
            data = rtp.stamp(self.train, channel, self._sequence, self.timestamp, self._ssrc, self.sent_us)
            self._stamped[channel] = data
        return data

    def datagrams(self) -> list[bytes]:
        """Every packet by itself."""
        return rtp.datagrams(self.train, self.interleaved(0))


class Timeline:
    """The endless loop of one camera.

    Args:
        trains: the loop in decoding order; the first is a key frame.
        fps: pictures per second, so ticks per second.
        cue: sequence number, timestamp and SSRC to start with.
    """

    def __init__(self, trains: Sequence[Train], fps: int, cue: Cue) -> None:
        self._trains = trains
        self._fps = fps
        self._sequence = cue.sequence
        self._first_timestamp = cue.timestamp
        self._ssrc = cue.ssrc
        self._position = 0
        self._packets = 0
        self._octets = 0

    def depart(self, tick: int, sent_us: int) -> Departure:
        """The next access unit, leaving now."""
        train = self._trains[self._position]
        departure = Departure(train, self._sequence, self._timestamp(tick - train.delay), self._ssrc, sent_us)
        self._position = (self._position + 1) % len(self._trains)
        self._sequence = self._sequence + len(train.headers) & 0xFFFF
        self._packets += len(train.headers)
        self._octets += train.payload_bytes
        return departure

    def rewind(self) -> None:
        """Goes on to the next key frame: nobody watches, and whoever comes should not have to wait."""
        while not self._trains[self._position].is_key:
            self._position = (self._position + 1) % len(self._trains)

    def cue(self, tick: int) -> Cue:
        """What will open the next key frame, if the next departure is at `tick`."""
        position, sequence = self._position, self._sequence
        while not (train := self._trains[position]).is_key:
            position = (position + 1) % len(self._trains)
            sequence = sequence + len(train.headers) & 0xFFFF
            tick += 1
        return Cue(sequence, self._timestamp(tick - train.delay), self._ssrc)

    def sender_report(self, tick: int, now_us: int, cname: str) -> bytes:
        """RTCP that ties the RTP clock at `tick` to the wall clock."""
        at = self._timestamp(tick)
        return rtp.sender_report(self._ssrc, now_us, at, self._packets, self._octets, cname)

    def _timestamp(self, tick: int) -> int:
        return self._first_timestamp + tick * rtp.CLOCK_RATE // self._fps & 0xFFFFFFFF
