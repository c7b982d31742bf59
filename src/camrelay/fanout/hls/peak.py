"""The peak bit rate of a stream: what BANDWIDTH has to announce. Pure.

It is the largest of any contiguous set of segments that last half to one and a half TARGETDURATIONs together
[RFC 8216bis 4.4.6.2]: a shorter one is little but its key frame, and no measure of what a network must carry.
"""

from __future__ import annotations

from collections import deque


class Peak:
    """Add complete segments in order.

    Args:
        target_s: TARGETDURATION.

    Attributes:
        bps: bits per second, 0 while nothing lasts long enough.
    """

    def __init__(self, target_s: float) -> None:
        self.bps = 0.0
        self._target_s = target_s
        #: Seconds and bytes of the newest segments, of one and a half TARGETDURATIONs at most.
        self._newest: deque[tuple[float, int]] = deque()

    def interrupt(self) -> None:
        """Says that what comes next does not follow what was added: media are missing between them."""
        self._newest.clear()

    def add(self, seconds: float, size_bytes: int) -> None:
        """The next segment."""
        self._newest.append((seconds, size_bytes))
        lasting = held = 0.0
        kept = 0
        for each_s, each_bytes in reversed(self._newest):
            lasting += each_s
            held += each_bytes
            if lasting > 1.5 * self._target_s:
                break
            kept += 1
            if lasting >= 0.5 * self._target_s:
                self.bps = max(self.bps, 8 * held / lasting)
        while len(self._newest) > kept:
            self._newest.popleft()
