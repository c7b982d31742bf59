"""How fast packets leave when there is more to send than the moment needs: a GOP at the start, a key frame.

A pace begins low and doubles while nobody complains, because nobody knows what a viewer's link carries: at
full speed at once, a home router drops most of a GOP. A complaint (NACK) halves it, and it stays there.
"""

from __future__ import annotations

from camrelay.fanout.webrtc.rtp import PAYLOAD_BYTES

#: Sleeps shorter than this cost more than they spread.
PACE_STEP_S = 0.004

#: What most links carry, and 50 ms of a router's queue on those that carry half of it.
START_BPS = 20_000_000

#: A viewer that cannot take this is no viewer of a camera.
LOWEST_BPS = 5_000_000

#: Between doublings, and between halvings: time for a complaint to come back, from most of a continent.
CHANGE_INTERVAL_S = 0.05


class Pace:
    """Spreads runs of packets over time.

    Args:
        bps: the highest pace.
        start_bps: the first one.
    """

    def __init__(self, bps: int, start_bps: int) -> None:
        self._limit_bps = float(bps)
        self._bps = min(float(start_bps), self._limit_bps)
        self._changed_s: float | None = None
        self._free_s = 0.0

    def delay(self, packets: int, now: float) -> float:
        """How long to wait after sending so many packets; 0 rather than too short to be worth a sleep."""
        if self._changed_s is None:
            self._changed_s = now
        elif now - self._changed_s >= CHANGE_INTERVAL_S and self._bps < self._limit_bps:
            self._changed_s = now
            self._bps = min(2 * self._bps, self._limit_bps)
        self._free_s = max(self._free_s, now) + packets * PAYLOAD_BYTES * 8 / self._bps
        delay = self._free_s - now
        return delay if delay >= PACE_STEP_S else 0.0

    def ease(self, now: float) -> None:
        """Slows down, for good: packets were lost."""
        if self._changed_s is None or now - self._changed_s >= CHANGE_INTERVAL_S:
            self._changed_s = now
            self._limit_bps = self._bps = max(self._bps / 2, float(LOWEST_BPS))
