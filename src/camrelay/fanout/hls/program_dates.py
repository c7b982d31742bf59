"""Which wall clock time a decode time stands for: EXT-X-PROGRAM-DATE-TIME of a stream.

Dates follow the wall clock by small corrections, one a segment, and never go back by more than one: segments
may overlap by less than a second (draft-pantos-hls-rfc8216bis-22 §6.2.1).

Decode times are ticks, dates are microseconds of UTC.
"""

from __future__ import annotations

#: Largest correction of a segment's program date; overlaps must stay far below a second.
_MAX_STEP_US = 100_000


class ProgramDates:
    """The dates of one stream's decode times."""

    def __init__(self) -> None:
        #: Of decode time 0.
        self._base_us = 0

    def at(self, clock: int) -> int:
        """The date of a decode time."""
        return self._base_us + _us(clock)

    def begin(self, old_clock: int, clock: int, arrived_us: int) -> None:
        """From now on `clock` stands for when it arrived, but for nothing earlier than `old_clock` did."""
        self._base_us = max(arrived_us, self.at(old_clock)) - _us(clock)

    def skip(self, ticks: int) -> None:
        """Lets a time pass that decode times do not count."""
        self._base_us += _us(ticks)

    def follow(self, clock: int, arrived_us: int) -> None:
        """Comes a little nearer to when `clock` arrived."""
        error_us = (arrived_us - self.at(clock)) // 8
        self._base_us += max(-_MAX_STEP_US, min(error_us, _MAX_STEP_US))


def _us(ticks: int) -> int:
    return ticks * 100 // 9
