"""Turns are fair, and the event loop breathes between them."""

from __future__ import annotations

import asyncio

from camrelay.fanout.webrtc.turns import PACKETS_PER_ITERATION, Turns, batches


async def test_small_turns_are_had_at_once() -> None:
    """No wait, not even one iteration of the loop, while there is allowance."""
    turns = Turns()
    others: list[int] = []
    asyncio.get_running_loop().call_soon(others.append, 1)

    for _ in range(10):
        await turns.take(10)

    assert others == []


async def test_the_loop_runs_everything_else_between_allowances() -> None:
    """A caller that never waits for anything but turns leaves room for other callbacks."""
    turns = Turns()
    iterations = 0
    done = asyncio.Event()

    def count() -> None:
        nonlocal iterations
        iterations += 1
        if not done.is_set():
            asyncio.get_running_loop().call_soon(count)

    count()
    for _ in range(10):
        await turns.take(PACKETS_PER_ITERATION)
    done.set()

    assert iterations >= 10


async def test_first_come_first_served() -> None:
    """Two cameras with much to send alternate; one with little is not behind both."""
    turns = Turns()
    order: list[str] = []

    async def camera(name: str, slices: int) -> None:
        for _ in range(slices):
            await turns.take(PACKETS_PER_ITERATION)
            order.append(name)

    await asyncio.gather(camera("a", 6), camera("b", 6), camera("c", 1))

    assert order.index("c") <= 3
    assert order[4:] == ["a", "b"] * 4 + ["b"]


async def test_who_gives_up_costs_no_turn() -> None:
    """A viewer that leaves while it waits takes nothing from the others."""
    turns = Turns()
    await turns.take(PACKETS_PER_ITERATION)
    waiting = [asyncio.create_task(turns.take(PACKETS_PER_ITERATION)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()

    await asyncio.wait_for(waiting[2], 1)
    await asyncio.wait_for(turns.take(1), 1)


def test_batches_hold_groups_together() -> None:
    """A large group is cut, small ones share a batch, and the order stays; without members there is none."""
    assert batches(["abcde", "", "f", "gh"], 2) == [
        [tuple("ab")],
        [tuple("cd")],
        [("e",), ("f",)],
        [tuple("gh")],
    ]
    assert batches([], 2) == []
