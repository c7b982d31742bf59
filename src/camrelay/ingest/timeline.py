"""Camera timestamps to camrelay's clock: 90 kHz, strictly increasing, one per camera, never starting over.

Cameras wrap, restart at 0, repeat, go back, or leave timestamps out (fault F6); connections end and begin.
The output goes on through all of it:

- Inside one timeline of the camera, output steps are the camera's steps.
- Where that timeline breaks, the output goes to the relay's monotonic clock, so that an outage of ten seconds
  is ten seconds wide, and the first unit after it says `discontinuity`.
- Decode times are ours: RTP carries presentation times only.
"""

from __future__ import annotations

from bisect import insort
from typing import NamedTuple

from camrelay.model import CLOCK_RATE

#: How far a step may go back, or ahead of its arrival, and still be jitter. Cameras and networks hold back
#: and burst for less; beyond it the camera has begun another timeline.
MAX_STEP = CLOCK_RATE
#: An output this far behind the relay's clock has lost touch with it: a camera that repeats its timestamps.
#: Longer than the stall timeout, which ends true silence first.
MAX_LAG = 10 * CLOCK_RATE
#: The step to assume where neither the stream nor its timestamps tell: 25 pictures a second.
DEFAULT_STEP = CLOCK_RATE // 25
_RTP_MODULUS = 1 << 32


class Stamp(NamedTuple):
    """Where a unit stands on the output. `pts` is never before `dts`."""

    pts: int
    dts: int
    discontinuity: bool


class Timeline:
    """The output clock of one camera, across its connections.

    Its ticks count from the zero of the relay's monotonic clock, so the streams of one camera line up.
    """

    def __init__(self) -> None:
        self._dts: int | None = None
        self.restart()

    def restart(self) -> None:
        """Begins another timeline of the camera: the next timestamps have nothing to do with the last."""
        self._camera_pts: int | None = None
        self._camera_dts = 0
        self._now = 0.0
        #: Presentation times whose turn as decode times has not come, sorted; at most the reorder depth.
        self._reordered: list[int] = []

    def place(
        self, pts: int | None, now: float, *, frame_rate: float | None = None, reorder_depth: int = 0
    ) -> Stamp:
        """Places the next unit, in decoding order, on the output.

        Args:
            pts: the camera's presentation time in ticks, None when it did not say.
            now: monotonic seconds of arrival.
            frame_rate, reorder_depth: as in VideoParams.
        """
        step = round(CLOCK_RATE / frame_rate) if frame_rate else DEFAULT_STEP
        if self._camera_pts is not None:
            # RTP time is 32 bits wide (RFC 3550 §5.1): a step is what remains of the difference.
            delta = step if pts is None else signed32(pts - self._camera_pts)
            if self._is_break(delta, now):
                self.restart()
            else:
                pts = self._camera_pts + delta
        is_first = self._camera_pts is None
        camera_pts = pts or 0
        camera_dts = self._decode_time(camera_pts, reorder_depth, step)
        if not is_first and self._dts is not None:
            dts = self._dts + max(1, camera_dts - self._camera_dts)
        elif self._dts is not None:
            dts = max(self._dts + 1, round(now * CLOCK_RATE))
        else:
            dts = round(now * CLOCK_RATE)
        discontinuity = is_first and self._dts is not None
        self._dts, self._camera_pts, self._camera_dts, self._now = dts, camera_pts, camera_dts, now
        return Stamp(dts + max(0, camera_pts - camera_dts), dts, discontinuity)

    def at(self, pts: int) -> int | None:
        """Where this camera time is on the output; None while its timeline has not begun."""
        if self._camera_pts is None or self._dts is None:
            return None
        return self._dts + signed32(pts - self._camera_dts)

    def live(self, now: float) -> int:
        """What the output clock shows at this moment."""
        if self._dts is None:
            return round(now * CLOCK_RATE)
        return self._dts + round((now - self._now) * CLOCK_RATE)

    def _is_break(self, delta: int, now: float) -> bool:
        elapsed = max(0.0, now - self._now) * CLOCK_RATE
        if not -MAX_STEP <= delta <= elapsed + MAX_STEP:
            return True
        return self._dts is not None and now * CLOCK_RATE - (self._dts + delta) > MAX_LAG

    def _decode_time(self, pts: int, reorder_depth: int, step: int) -> int:
        """Decode times are the presentation times in order, `reorder_depth` units late."""
        if not reorder_depth and not self._reordered:
            return pts
        insort(self._reordered, pts)
        due = len(self._reordered) - reorder_depth
        if due <= 0:
            return self._reordered[0] - (1 - due) * step
        dts = self._reordered[due - 1]
        del self._reordered[:due]
        return dts


def signed32(difference: int) -> int:
    """The difference of two 32-bit clocks, read as the short way round."""
    half = _RTP_MODULUS // 2
    return (difference + half) % _RTP_MODULUS - half
