"""The RTCP a receiver owes its camera (RFC 3550 §6): some cameras hang up on one that never reports."""

from __future__ import annotations

import struct

from camrelay.ingest.rtp import Depacketizer

_CNAME = b"camrelay"


class Reporter:
    """Says how a track arrives.

    Args:
        ssrc: ours, random.
    """

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._expected = 0
        self._lost = 0

    def report(self, track: Depacketizer) -> bytes:
        """A compound packet of receiver report and source description, about what came since the last one."""
        if track.ssrc is None:
            return struct.pack(">BBHI", 0x80, 201, 1, self._ssrc) + self._description()
        expected = track.expected - track.first
        # A track that counts anew has fewer than before: nothing is known of the time between.
        expected_now = max(0, expected - self._expected)
        lost_now = max(0, track.lost - self._lost)
        self._expected, self._lost = expected, track.lost
        fraction = min(255, (lost_now << 8) // expected_now) if expected_now else 0
        block = struct.pack(
            ">IIIIII",
            track.ssrc,
            fraction << 24 | min(track.lost, 0x7FFFFF),
            (track.expected - 1) & 0xFFFFFFFF,
            # Jitter, and when the last sender report came: nobody here has measured them.
            *(0, 0, 0),
        )
        return struct.pack(">BBHI", 0x81, 201, 7, self._ssrc) + block + self._description()

    def _description(self) -> bytes:
        item = struct.pack(">IBB", self._ssrc, 1, len(_CNAME)) + _CNAME
        # An item list ends with at least one zero byte, on a 32-bit border (RFC 3550 §6.5).
        item += bytes(4 - len(item) % 4)
        return struct.pack(">BBH", 0x81, 202, len(item) // 4) + item
