"""What the record costs: told from turns with it and without it."""

from __future__ import annotations

import pytest

from benchmarks.percentile import Spread
from benchmarks.record.cost import (
    Round,
    Side,
    Spent,
    delivered_delta,
    deltas,
    noise,
    own_share,
    table,
    us_per_event,
)


def side(*, cpu_s: float, p99_s: float) -> Side:
    """Ten seconds of a thousand packets each."""
    return Side(turns=10, seconds=10.0, cpu_s=cpu_s, packets=10_000, delays_s=[0.001] * 98 + [p99_s, p99_s])


def test_the_delta_is_what_a_core_sends_less() -> None:
    """A tenth more CPU for the same packets is a core that sends 9.1 % less; half as late again is 50 %."""
    on, off = side(cpu_s=1.1, p99_s=0.030), side(cpu_s=1.0, p99_s=0.020)
    rounds = [Round(on, off, Spent(cpu_s=0.011, events=10), 1.1)] * 3
    throughput, p99 = deltas(rounds)
    assert own_share(rounds).median == pytest.approx(1.0)
    assert us_per_event(rounds) == pytest.approx(1100)
    assert us_per_event([Round(on, off, Spent(0.0, 0), 1.1)]) is None
    assert throughput.median == pytest.approx(100 / 11)
    assert p99.median == pytest.approx(50)
    assert [row[3:6] for row in table(rounds).rows[:2]] == [[1000, 11.0, 9091], [1000, 10.0, 10000]]


def test_what_viewers_get_is_told_apart_from_what_it_takes() -> None:
    """A core that is busier may deliver as much."""
    on, off = side(cpu_s=1.1, p99_s=0.030), side(cpu_s=1.0, p99_s=0.020)
    assert delivered_delta([Round(on, off, Spent(0.0, 0), 1.1)]) == 0
    off.packets = 12_500
    assert delivered_delta([Round(on, off, Spent(0.0, 0), 1.1)]) == pytest.approx(20)


def test_more_rounds_leave_less_noise() -> None:
    """The same range of four times as many rounds says twice as much."""
    assert noise(Spread(0.5, -2.0, 2.0), 4) == 1.0
    assert noise(Spread(0.5, -2.0, 2.0), 16) == 0.5
