"""Percentiles, and medians of rounds with their range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: always one of the values; not-a-number of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


class Spread(NamedTuple):
    """Several rounds of one figure."""

    median: float
    low: float
    high: float


def spread(rounds: Sequence[float]) -> Spread:
    """Median and range of at least one round; the median of two is their mean."""
    ordered = sorted(rounds)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Spread(median, ordered[0], ordered[-1])
