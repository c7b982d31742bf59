from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from camrelay.ingest.backoff import REFUSED_WAIT_S, STABLE_S, Backoff

ALMOST_ONE = 1 - 2**-53


def failures(backoff: Backoff, count: int, *, random: float = ALMOST_ONE) -> list[float]:
    return [backoff.failed(lived_s=0, refused=False, random=random) for _ in range(count)]


def test_ceilings_grow_to_the_maximum() -> None:
    """The longest possible waits never shrink and end at the maximum."""
    waits = failures(Backoff(0.5, 30.0), 200)

    assert all(before <= after for before, after in pairwise(waits))
    assert abs(waits[0] - 0.75) < 1e-9
    assert abs(waits[-1] - 30.0) < 1e-9


def test_jitter_is_full() -> None:
    """However long a camera has been gone, the shortest wait stays possible."""
    assert failures(Backoff(0.5, 30.0), 50, random=0.0) == [0.5] * 50


def test_after_ten_seconds_nobody_waits_much_longer_than_ten() -> None:
    """A camera that was away shortly is back shortly (fault F18)."""
    backoff = Backoff(0.5, 30.0)
    away_s = wait_s = 0.0
    while away_s < 10:
        wait_s = backoff.failed(lived_s=0, refused=False, random=0.5)
        away_s += wait_s

    assert wait_s < 5


def test_a_connection_that_held_starts_over() -> None:
    """One that broke early does not: flapping counts as failing."""
    backoff = Backoff(0.5, 30.0)
    failures(backoff, 10)

    flapping = backoff.failed(lived_s=STABLE_S - 1, refused=False, random=ALMOST_ONE)
    held = backoff.failed(lived_s=STABLE_S, refused=False, random=ALMOST_ONE)

    assert flapping > 29
    assert held < 0.76
    assert backoff.failures == 1


def test_the_second_refusal_ends_trying_for_half_an_hour() -> None:
    """Cameras lock accounts; then two more tries (fault F11)."""
    backoff = Backoff(0.5, 30.0)

    waits = [backoff.failed(lived_s=0, refused=True, random=0.0) for _ in range(4)]

    assert waits == [0.5, REFUSED_WAIT_S, 0.5, REFUSED_WAIT_S]


def test_an_unreachable_camera_does_not_forgive_a_refusal() -> None:
    """Only pictures do: a lock counts refusals, not what lies between."""
    backoff = Backoff(0.5, 30.0)

    backoff.failed(lived_s=0, refused=True, random=0.0)
    backoff.failed(lived_s=0, refused=False, random=0.0)
    assert backoff.failed(lived_s=0, refused=True, random=0.0) == REFUSED_WAIT_S

    backoff.failed(lived_s=0, refused=True, random=0.0)
    backoff.failed(lived_s=0.1, refused=False, random=0.0)
    assert backoff.failed(lived_s=0, refused=True, random=0.0) == 0.5


def test_a_maximum_below_the_minimum_is_the_minimum() -> None:
    """A configuration that contradicts itself still waits."""
    assert failures(Backoff(5.0, 1.0), 3) == [5.0] * 3


@given(st.floats(0.1, 100), st.floats(0.1, 100), st.lists(st.floats(0, 1, exclude_max=True), max_size=50))
def test_every_wait_is_within_the_limits(low: float, high: float, randoms: list[float]) -> None:
    """Between minimum and maximum, for any of them."""
    backoff = Backoff(low, high)
    for random in randoms:
        assert low <= backoff.failed(lived_s=0, refused=False, random=random) <= max(low, high)
