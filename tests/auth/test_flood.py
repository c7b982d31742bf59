"""Denials under attack."""

from __future__ import annotations

from camrelay.auth.flood import Flood


def test_a_flood_costs_a_bounded_number_of_lines() -> None:
    """Case 65: 100,000 denials in a minute are 20 lines, then one a second; all are counted."""
    flood = Flood(burst=20, per_second=1.0)
    lines = sum(flood.admit("bad_signature", n * 60 / 100_000) for n in range(100_000))
    assert 78 <= lines <= 80
    assert flood.drain() == {"bad_signature": 100_000 - lines}
    assert flood.drain() == {}


def test_quiet_times_refill_the_bucket_up_to_its_size() -> None:
    """After a night without denials a burst gets its lines, not a night's worth of them."""
    flood = Flood(burst=3, per_second=1.0)
    assert [flood.admit("expired", 100_000.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert [flood.admit("expired", 100_001.0) for _ in range(2)] == [True, False]


def test_reasons_are_counted_apart() -> None:
    """The summary says what the flood was made of."""
    flood = Flood(burst=0, per_second=0)
    for reason in ("expired", "expired", "unknown_key"):
        assert not flood.admit(reason, 1.0)
    assert flood.drain() == {"expired": 2, "unknown_key": 1}
