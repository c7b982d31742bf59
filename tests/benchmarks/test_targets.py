"""What was reached."""

from __future__ import annotations

import pytest

from benchmarks.result import Figure
from benchmarks.targets import Target

LEAST = Target("P1", "viewers", "f", at_least=10)
MOST = Target("P5", "start", "f", at_most=10)


@pytest.mark.parametrize(
    ("target", "figure", "verdict"),
    [
        (LEAST, Figure(10), "reached"),
        (LEAST, Figure(9.9), "not reached"),
        (MOST, Figure(10), "reached"),
        (MOST, Figure(10.1), "not reached"),
        (LEAST, Figure(None, reason="no wrk"), "not measured: no wrk"),
    ],
)
def test_a_verdict_is_never_kinder_than_the_figure(target: Target, figure: Figure, verdict: str) -> None:
    """What was not measured is not reached either."""
    assert target.verdict({"f": figure}) == verdict
    assert target.verdict({}) == "not measured yet"
