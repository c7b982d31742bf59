"""Two refusals, then half an hour of peace."""

from __future__ import annotations

from camrelay.ingest.refusals import HOLD_US, LIMIT, Refusals
from camrelay.model import Refusal

NOW = 1_700_000_000_000_000
MINUTE = 60_000_000


def test_the_second_refusal_holds_an_account_for_half_an_hour() -> None:
    """To the microsecond; then it has all its refusals again (fault F11)."""
    refusals = Refusals()

    assert refusals.refused("a", NOW) == Refusal(1, NOW)
    assert refusals.held_until_us("a", NOW) is None
    assert refusals.refused("a", NOW + 1) == Refusal(2, NOW + 1)

    assert refusals.held_until_us("a", NOW + 2) == NOW + 1 + HOLD_US
    assert refusals.held_until_us("a", NOW + HOLD_US) == NOW + 1 + HOLD_US
    assert refusals.held_until_us("a", NOW + 1 + HOLD_US) is None
    assert refusals.left("a", NOW + 1 + HOLD_US) == LIMIT


def test_accounts_do_not_pay_for_each_other() -> None:
    """Another password is another account."""
    refusals = Refusals({"a": Refusal(LIMIT, NOW)})

    assert refusals.held_until_us("b", NOW) is None
    assert (refusals.left("a", NOW), refusals.left("b", NOW)) == (0, LIMIT)


def test_a_refusal_long_ago_does_not_count() -> None:
    """Cameras forget them too."""
    refusals = Refusals()
    refusals.refused("a", NOW)

    assert refusals.refused("a", NOW + HOLD_US) == Refusal(1, NOW + HOLD_US)


def test_what_was_kept_still_counts() -> None:
    """A restart is no way around it."""
    refusals = Refusals({"a": Refusal(1, NOW)})

    refusals.refused("a", NOW + MINUTE)

    assert refusals.held_until_us("a", NOW + MINUTE) == NOW + MINUTE + HOLD_US


def test_an_account_that_works_starts_over() -> None:
    """And says whether there was anything to forget."""
    refusals = Refusals({"a": Refusal(1, NOW)})

    assert refusals.accepted("a")
    assert not refusals.accepted("a")
    assert refusals.left("a", NOW) == LIMIT


def test_a_clock_that_is_set_back_holds_nobody() -> None:
    """A hold would last as long as the clock was wrong."""
    refusals = Refusals({"a": Refusal(LIMIT, NOW)})

    assert refusals.held_until_us("a", NOW - 1) is None


def test_old_refusals_do_not_pile_up() -> None:
    """Whoever tries a thousand passwords over days leaves none behind."""
    refusals = Refusals()
    for number in range(1000):
        refusals.refused(str(number), NOW + number * HOLD_US)

    assert len(refusals._known) == 1
