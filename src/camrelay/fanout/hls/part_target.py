"""How long parts are to be: chosen once, from a camera's first pictures.

Numbers in brackets are sections of draft-pantos-hls-rfc8216bis-22.

Every part is 85 to 100 % of PART-TARGET [4.4.4.9], and pictures cannot be cut in two: so it has to suit the
distance of pictures, which only pictures tell.
"""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import NamedTuple

from camrelay.model import AccessUnit

#: Pictures that tell the frame rate well enough: one odd step among three is outvoted.
_FIRST_UNITS = 4


class PartTarget(NamedTuple):
    """PART-TARGET and the usual distance of two access units, both in ticks."""

    duration: int
    step: int


class FirstUnits:
    """A camera's first access units, until they tell its frame rate.

    Args:
        wish: for PART-TARGET, in ticks.
        longest: PART-TARGET may be, in ticks.
        most: access units that are collected.

    Attributes:
        units: those so far, a key frame first.
    """

    def __init__(self, wish: int, longest: int, most: int) -> None:
        self._wish = wish
        self._longest = longest
        self._most = most
        self.units: list[AccessUnit] = []

    def add(self, au: AccessUnit) -> PartTarget | None:
        """Takes the next one; what it makes of them, None while they are too few or too short."""
        units = self.units
        if units and (au.discontinuity or au.params != units[0].params):
            units.clear()
        if not units and not au.is_key:
            return None
        units.append(au)
        is_long = au.dts - units[0].dts >= self._wish or len(units) >= self._most
        if len(units) < _FIRST_UNITS or not is_long:
            return None
        step = max(1, statistics.median_low(b.dts - a.dts for a, b in pairwise(units)))
        return PartTarget(min(_duration(self._wish, step), self._longest), step)


def _duration(wish: int, step: int) -> int:
    """PART-TARGET for pictures `step` ticks apart: the wish where whole pictures fill it well, or near it."""
    filled = (wish + step // 50) // step * step
    if filled * 100 >= wish * 87:
        return wish
    # Two per cent for jitter; the 85 % are far enough away from 98.
    return max(1, round(wish / step)) * step * 51 // 50
