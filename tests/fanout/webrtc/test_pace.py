"""Paces begin low, grow unasked, and give way to complaints."""

from __future__ import annotations

import pytest

from camrelay.fanout.webrtc.pace import CHANGE_INTERVAL_S, LOWEST_BPS, PACE_STEP_S, Pace
from camrelay.fanout.webrtc.rtp import PAYLOAD_BYTES

#: One packet in a millisecond.
BPS = PAYLOAD_BYTES * 8 * 1000


def cost(pace: Pace, now: float) -> float:
    """What the pace takes for a hundred packets, in seconds each."""
    return pace.delay(100, now) / 100


def test_small_things_go_at_once() -> None:
    """What is owed adds up until it is worth a sleep; rest is not saved up."""
    pace = Pace(BPS, BPS)

    assert pace.delay(3, 0.0) == 0.0
    assert pace.delay(3, 0.0) == pytest.approx(0.006)
    assert pace.delay(1, 10.0) == 0.0
    assert PACE_STEP_S == 0.004


def test_a_pace_doubles_up_to_its_limit() -> None:
    """While nobody complains."""
    pace = Pace(3 * BPS, BPS)

    costs = [cost(pace, 100.0 * i) for i in range(4)]

    assert costs == pytest.approx([0.001, 0.0005, 0.001 / 3, 0.001 / 3])


def test_a_start_above_the_limit_is_the_limit() -> None:
    """The configured pace is never exceeded."""
    assert cost(Pace(BPS, 5 * BPS), 0.0) == pytest.approx(0.001)


def test_a_complaint_halves_it_for_good() -> None:
    """Several about the same loss count once; it ends at the lowest pace."""
    pace = Pace(8 * BPS, 8 * BPS)

    pace.ease(0.0)
    pace.ease(CHANGE_INTERVAL_S / 2)
    assert cost(pace, 100.0) == pytest.approx(0.00025)
    assert cost(pace, 200.0) == pytest.approx(0.00025)

    for i in range(10):
        pace.ease(300.0 + i)
    assert cost(pace, 400.0) == pytest.approx(PAYLOAD_BYTES * 8 / LOWEST_BPS)
