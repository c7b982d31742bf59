"""Climbing, and the order of rounds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.child import ChildFailed
from benchmarks.command import Run
from benchmarks.ladder import climb, close_in, rounds
from benchmarks.result import Result


class Step(NamedTuple):
    size: int
    busy: float
    broke: str = ""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Result("b", "", {}, 1), argparse.Namespace(quick=False), tmp_path)


async def test_a_climb_ends_with_the_step_that_breaks(run: Run) -> None:
    """Or with the last size."""

    async def at(size: int) -> Step:
        return Step(size, size / 1000, "too many" if size > 300 else "")

    assert [step.size for step in await climb(run, "x", at, start=100, most=4000)] == [100, 200, 400]
    assert [step.size for step in await climb(run, "x", at, start=100, most=150)] == [100, 150]


async def test_closing_in_tells_what_held_and_the_least_that_broke(run: Run) -> None:
    """By size, whatever the order was; sizes between are tried once one has broken."""
    tried = []

    async def at(size: int) -> Step:
        tried.append(size)
        return Step(size, size / 400, "too many" if size > 300 else "")

    found = await close_in(run, "x", at, start=100, most=4000)
    assert tried == [100, 200, 320, 260, 290, 305]
    assert [(step.size, step.broke) for step in found][-2:] == [(290, ""), (305, "too many")]
    assert [step.size for step in await close_in(run, "x", at, start=100, most=150)] == [100, 150]


async def test_closing_in_on_what_never_held_goes_down(run: Run) -> None:
    """To the least size."""

    async def at(size: int) -> Step:
        return Step(size, 0.9, "too many")

    assert [step.size for step in await close_in(run, "x", at, start=8, most=4000)] == [1]


async def test_rounds_alternate_and_a_server_that_fails_stops_nobody(run: Run) -> None:
    """Forwards, then backwards; what failed is left out."""
    order: list[str] = []

    async def good() -> Sequence[Step]:
        order.append("good")
        return [Step(1, 0.1)]

    async def bad() -> Sequence[Step]:
        order.append("bad")
        raise ChildFailed("it ended")

    into: dict[str, list[Sequence[Step]]] = {}
    await rounds(run, {"good": good, "bad": bad}, 2, into)
    assert order == ["good", "bad", "bad", "good"]
    assert into == {"good": [[Step(1, 0.1)], [Step(1, 0.1)]]}
