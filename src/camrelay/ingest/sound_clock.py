"""Where a camera's sound belongs among its pictures.

Both have RTP clocks of their own. Sender reports tie them together where the camera sends any that make sense
(RFC 3550 §6.4.1); where it does not, sound belongs where it arrives. Whatever a camera claims, sound stays
near its arrival and never goes back, so that it can neither hold up pictures nor run ahead of them.
"""

from __future__ import annotations

import struct

from camrelay.ingest.timeline import signed32
from camrelay.model import CLOCK_RATE

#: Beyond this, what sender reports say is believed less than the arrival.
MAX_TRUSTED = 2 * CLOCK_RATE
#: Clocks of a camera drift apart; beyond this, sound is moved, which can be heard. Lips may be off by less.
MAX_DRIFT = CLOCK_RATE // 10
#: The same by arrival, which jitters.
MAX_JITTER = CLOCK_RATE // 2

_SENDER_REPORT = 200
_unpack_report = struct.Struct(">BBHIIII").unpack_from
_NTP_FRACTION = 1 << 32


class SenderReports:
    """What the last sender report of a track said.

    Attributes:
        ntp: wall clock in 2**-32 s, 0 before the first report.
        timestamp: what the RTP clock showed then.
    """

    def __init__(self) -> None:
        self.ntp = 0
        self.timestamp = 0

    def packet(self, data: bytes, begin: int, end: int) -> None:
        """Takes in the compound RTCP packet that is data[begin:end]; anything else is passed over."""
        if end - begin < 20 or data[begin + 1] != _SENDER_REPORT:
            return
        _, _, _, _, seconds, fraction, self.timestamp = _unpack_report(data, begin)
        self.ntp = seconds * _NTP_FRACTION + fraction


def on_video_clock(timestamp: int, clock_rate: int, sound: SenderReports, video: SenderReports) -> int | None:
    """An RTP timestamp of the sound as one of the video; None while the reports do not tell."""
    if not sound.ntp or not video.ntp:
        return None
    since_report = signed32(timestamp - sound.timestamp) * CLOCK_RATE // clock_rate
    apart = (sound.ntp - video.ntp) * CLOCK_RATE // _NTP_FRACTION
    return (video.timestamp + since_report + apart) & 0xFFFFFFFF


class SoundClock:
    """Places the sound of one connection on the output clock.

    Args:
        clock_rate: of the sound, in samples per second.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._timestamp: int | None = None
        #: Samples since the anchor, and where that is on the output.
        self._samples = 0
        self._anchor = 0
        self._end = 0

    def place(self, timestamp: int, duration: int, *, wanted: int | None, arrived: int) -> int | None:
        """Where a unit of sound begins, in ticks; None when that time is taken already.

        Args:
            timestamp: the camera's own, 32 bits.
            duration: in samples.
            wanted: where sender reports put it, None when they do not.
            arrived: what the output clock shows now.
        """
        if wanted is not None and abs(wanted - arrived) <= MAX_TRUSTED:
            target, tolerance = wanted, MAX_DRIFT
        else:
            target, tolerance = arrived, MAX_JITTER
        if self._timestamp is not None:
            self._samples += signed32(timestamp - self._timestamp)
        self._timestamp = timestamp
        pts = self._anchor + self._samples * CLOCK_RATE // self._clock_rate
        if abs(pts - target) > tolerance:
            self._anchor, self._samples, pts = target, 0, target
        length = duration * CLOCK_RATE // self._clock_rate
        if pts + length // 2 < self._end:
            return None
        self._end = pts + length
        return pts
