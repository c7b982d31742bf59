"""Runs ladders: every contestant in every round, each from its first size to the one that breaks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from benchmarks import rising
from benchmarks.child import ChildFailed
from benchmarks.command import Run

S = TypeVar("S", bound=rising.Step)


async def climb(run: Run, label: str, at: Callable[[int], Awaitable[S]], start: int, most: int) -> list[S]:
    """Measures `at(size)` for rising sizes.

    Returns:
        The steps; the last one is the one that broke, if any did.
    """
    steps: list[S] = []
    size: int | None = start
    while size is not None:
        step = await at(size)
        steps.append(step)
        run.say(f"{label}: {step.size} at {step.busy:.0%} of a core{step.broke and f'; {step.broke}'}")
        size = None if step.broke else rising.next_size(size, step.busy, most)
    return steps


async def close_in(run: Run, label: str, at: Callable[[int], Awaitable[S]], start: int, most: int) -> list[S]:
    """Measures `at(size)` in large steps until one breaks, then between what held and what broke.

    For sizes that take long to measure, and a server that is started anew for each of them.

    Returns:
        What held, by size, and behind it the least that broke, if any did.
    """
    held: list[S] = []
    broke: list[S] = []
    size: int | None = start
    while size is not None:
        step = await at(size)
        run.say(f"{label}: {step.size} at {step.busy:.0%} of a core{step.broke and f'; {step.broke}'}")
        (broke if step.broke else held).append(step)
        largest = held[-1] if held else None
        size = rising.closer_size(
            largest.size if largest else 0,
            broke[-1].size if broke else None,
            largest.busy if largest else 0.0,
            most,
        )
    return held + broke[-1:]


async def rounds(
    run: Run,
    contestants: Mapping[str, Callable[[], Awaitable[Sequence[S]]]],
    count: int,
    into: dict[str, list[Sequence[S]]],
) -> None:
    """Lets every contestant climb `count` times, forwards then backwards, so that drift favours nobody.

    Args:
        into: label -> ladders; filled as they are finished, so that a time limit leaves what there is.
    """
    labels = list(contestants)
    for index in range(count):
        for label in labels if index % 2 == 0 else reversed(labels):
            try:
                ladder = await contestants[label]()
            except ChildFailed as error:
                run.say(f"{label} failed: {error}")
            else:
                into.setdefault(label, []).append(ladder)
