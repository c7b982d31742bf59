from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.ingest.backoff import REFUSED_WAIT_S, STABLE_S, Backoff

ALMOST_ONE = 1 - 2**-53


def failures(backoff: Backoff, count: int, *, random: float = ALMOST_ONE) -> list[float]:
    """The waits of failures at once, one after the other."""
    now, waits = 1000.0, []
    for _ in range(count):
        waits.append(backoff.failed(now=now, lived_s=0, refused=False, random=random))
        now += waits[-1]
    return waits


def test_ceilings_grow_to_the_maximum() -> None:
    """The longest possible waits never shrink and end at the maximum."""
    waits = failures(Backoff(0.5, 30.0), 50)

    assert all(before <= after for before, after in pairwise(waits))
    assert abs(waits[0] - 1.0) < 1e-9
    assert abs(waits[-1] - 30.0) < 1e-9


def test_jitter_is_full() -> None:
    """However long a camera has been gone, the shortest wait stays possible."""
    assert failures(Backoff(0.5, 30.0), 50, random=0.0) == [0.5] * 50


@pytest.mark.parametrize("outage_s", [1, 10, 60])
def test_nobody_waits_longer_than_half_the_outage(outage_s: float) -> None:
    """A camera that was away shortly is back shortly (fault F18)."""
    backoff = Backoff(0.5, 30.0)
    backoff.failed(now=1000.0, lived_s=60, refused=False, random=ALMOST_ONE)
    backoff.failed(now=1000.3, lived_s=0, refused=False, random=ALMOST_ONE)

    wait_s = backoff.failed(now=1000.0 + outage_s, lived_s=0, refused=False, random=ALMOST_ONE)

    assert wait_s <= max(1.0, outage_s / 2)


def test_a_connection_that_held_starts_over() -> None:
    """One that broke early does not: flapping counts as failing."""
    backoff = Backoff(0.5, 30.0)
    backoff.failed(now=1000.0, lived_s=0, refused=False, random=ALMOST_ONE)

    flapping = backoff.failed(now=2000.0, lived_s=STABLE_S - 1, refused=False, random=ALMOST_ONE)
    held = backoff.failed(now=2100.0, lived_s=STABLE_S, refused=False, random=ALMOST_ONE)

    assert flapping > 29
    assert held < 1.01
    assert backoff.failures == 1


def test_the_second_refusal_ends_trying_for_half_an_hour() -> None:
    """Cameras lock accounts; then two more tries (fault F11)."""
    backoff = Backoff(0.5, 30.0)

    waits = [backoff.failed(now=1000.0, lived_s=0, refused=True, random=0.0) for _ in range(4)]

    assert waits == [0.5, REFUSED_WAIT_S, 0.5, REFUSED_WAIT_S]


def test_an_unreachable_camera_does_not_forgive_a_refusal() -> None:
    """Only pictures do: a lock counts refusals, not what lies between."""
    backoff = Backoff(0.5, 30.0)

    backoff.failed(now=1000.0, lived_s=0, refused=True, random=0.0)
    backoff.failed(now=1000.0, lived_s=0, refused=False, random=0.0)
    assert backoff.failed(now=1000.0, lived_s=0, refused=True, random=0.0) == REFUSED_WAIT_S

    backoff.failed(now=1000.0, lived_s=0, refused=True, random=0.0)
    backoff.failed(now=1000.0, lived_s=0.1, refused=False, random=0.0)
    assert backoff.failed(now=1000.0, lived_s=0, refused=True, random=0.0) == 0.5


def test_a_maximum_below_the_minimum_is_the_minimum() -> None:
    """A configuration that contradicts itself still waits."""
    assert failures(Backoff(5.0, 1.0), 3) == [5.0] * 3


@given(st.floats(0.1, 100), st.floats(0.1, 100), st.lists(st.floats(0, 1, exclude_max=True), max_size=50))
def test_every_wait_is_within_the_limits(low: float, high: float, randoms: list[float]) -> None:
    """Between minimum and maximum, for any of them."""
    backoff = Backoff(low, high)
    for i, random in enumerate(randoms):
        wait_s = backoff.failed(now=i * 10.0, lived_s=0, refused=False, random=random)
        assert low <= wait_s <= max(low, high)
