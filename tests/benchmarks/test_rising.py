"""How load rises, and what a ladder says."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from benchmarks.rising import (
    Limit,
    broken,
    busy_plot,
    capacities,
    capacity,
    capacity_table,
    closer_size,
    next_size,
)


class Step(NamedTuple):
    size: int
    busy: float
    broke: str = ""


@pytest.mark.parametrize(
    ("size", "busy", "following"),
    [
        (100, 0.1, 200),  # Idle: doubled.
        (100, 0.4, 150),
        (100, 0.6, 120),
        (100, 0.79, 108),  # Near the limit: small steps.
        (1, 0.7, 2),  # Never stands still.
        (400, 0.1, 500),  # Not past a size that targets name.
        (1900, 0.3, 2000),
        (3900, 0.1, 4000),  # Not past the last size.
        (4000, 0.1, None),
    ],
)
def test_the_next_size(size: int, busy: float, following: int | None) -> None:
    """Faster while the core idles, and through every landmark."""
    assert next_size(size, busy, most=4000) == following


@pytest.mark.parametrize(
    ("held", "broke", "busy", "following"),
    [
        (50, None, 0.1, 100),  # Far away: doubled.
        (200, None, 0.6, 266),  # To where the core would be full.
        (200, None, 0.79, 240),  # But well above.
        (400, None, 0.1, 500),  # Not past the last size.
        (500, None, 0.1, None),
        (1, None, 0.79, 2),  # Never stands still.
        (200, 266, 0.6, 233),  # Between.
        (249, 266, 0.75, 257),
        (257, 266, 0.78, None),  # Near enough.
        (0, 2, 0.0, 1),
        (0, 1, 0.0, None),
    ],
)
def test_the_next_size_that_closes_in(
    held: int, broke: int | None, busy: float, following: int | None
) -> None:
    """Large steps up, then halves of what is left."""
    assert closer_size(held, broke, busy, most=500) == following


def test_the_first_broken_limit_is_named() -> None:
    """In the order given."""
    assert broken(Limit("a", True), Limit("b", False), Limit("c", False)) == "b"
    assert broken(Limit("a", True)) == ""


LADDERS = {
    "one": [[Step(10, 0.2), Step(20, 0.5), Step(30, 0.9, "busy")], [Step(10, 0.2), Step(20, 0.9, "busy")]],
    "none": [[Step(10, 0.9, "lost")]],
}


def test_capacity_is_the_largest_size_that_held() -> None:
    """0 when not even the first did; over the rounds with its range."""
    assert [capacity(ladder) for ladder in LADDERS["one"]] == [20, 10]
    assert capacity(LADDERS["none"][0]) == 0
    assert capacities(LADDERS)["one"] == (15, 10, 20)


def test_the_table_and_the_plot_show_every_server() -> None:
    """With the limits that ended its ladders."""
    table = capacity_table("t", "viewers", LADDERS)
    assert table.rows == [["one", 15, 10, 20, "busy"], ["none", 0, 0, 0, "lost"]]
    plot = busy_plot("p", "t", "viewers", LADDERS)
    assert [(curve.label, curve.x) for curve in plot.curves] == [("one", [10, 20, 30]), ("none", [10])]
    assert plot.curves[0].y == [20, 50, 90]
