"""Failures make the next attempt wait, and waiting makes up for them."""

from __future__ import annotations

from camrelay.auth.patience import Patience


def failing(patience: Patience, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        patience.fail("anna", now)


def test_the_first_failures_cost_nothing_and_then_twice_as_much_each() -> None:
    """People mistype; programs do not stop."""
    patience = Patience(free=3, longest_s=60)
    waits = []
    for _ in range(8):
        patience.fail("anna", 0.0)
        waits.append(patience.wait_s("anna", 0.0))

    assert waits == [0, 0, 1, 2, 4, 8, 16, 32]
    assert patience.wait_s("anna", 31.0) == 1
    assert patience.wait_s("anna", 32.0) == 0
    assert patience.wait_s("bert", 0.0) == 0


def test_a_wait_never_becomes_a_lock() -> None:
    """However often somebody fails."""
    patience = Patience(free=0, longest_s=60)
    failing(patience, 5000)

    assert patience.wait_s("anna", 0.0) == 60
    assert patience.wait_s("anna", 60.0) == 0


def test_what_is_long_ago_is_forgotten() -> None:
    """The next failure is the first again."""
    patience = Patience(free=1, longest_s=60)
    failing(patience, 10)
    failing(patience, 1, now=121.0)

    assert patience.wait_s("anna", 121.0) == 1


def test_success_forgives() -> None:
    """Also where nothing had failed."""
    patience = Patience(free=0, longest_s=60)
    failing(patience, 3)
    patience.forgive("anna")
    patience.forgive("bert")

    assert patience.wait_s("anna", 0.0) == 0


def test_memory_is_bounded() -> None:
    """The one who failed longest ago is forgotten first."""
    patience = Patience(free=0, longest_s=60, limit=2)
    for name in ("anna", "bert", "anna", "carl"):
        patience.fail(name, 0.0)

    assert [patience.wait_s(name, 0.0) for name in ("anna", "bert", "carl")] == [4, 0, 2]
