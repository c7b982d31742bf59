"""Percentiles and medians of rounds."""

from __future__ import annotations

import math

import pytest

from benchmarks.percentile import percentile, spread


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 5), (90, 9), (91, 10), (99, 10), (100, 10)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    """Nearest rank, in any order of values."""
    assert percentile([10, 9, 1, 2, 3, 4, 5, 6, 7, 8], percent) == value


def test_nothing_has_no_percentile() -> None:
    """Not-a-number, which no limit is over."""
    assert math.isnan(percentile([], 50))


def test_the_spread_of_rounds() -> None:
    """Median, lowest, highest; two rounds have their mean in the middle."""
    assert spread([3, 1, 2]) == (2, 1, 3)
    assert spread([1, 2]) == (1.5, 1, 2)
    assert spread([4]) == (4, 4, 4)
