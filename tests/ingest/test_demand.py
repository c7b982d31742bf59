"""On-demand cameras: who wants one, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from camrelay.ingest.demand import Demand
from camrelay.model import CameraId, CameraState, CameraStatus, EndReason, Protocol, Viewer
from ingest.recorder import PATIENCE_S

#: Longer than anything in a test, and no time at all.
LONG_S, SHORT_S = 60.0, 0.001


class Life:
    """A source that only says whether it lives; `hangs_up` must be set for it to let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cut = asyncio.Event()
        self.ended = asyncio.Event()
        self.hangs_up = asyncio.Event()
        self.hangs_up.set()
        self.count = 0

    async def live(self) -> None:
        self.count += 1
        self.ended.clear()
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cut.set()
            await self.hangs_up.wait()
            self.begun.clear()
            self.ended.set()


@pytest.fixture
def life() -> Life:
    return Life()


@pytest.fixture
def states() -> list[CameraState]:
    return []


@contextlib.asynccontextmanager
async def running(life: Life, states: list[CameraState], linger_s: float) -> AsyncIterator[Demand]:
    def report(status: CameraStatus) -> None:
        states.append(status.state)

    demand = Demand("yard", life.live, report, linger_s)
    task = asyncio.create_task(demand.run())
    try:
        yield demand
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def viewer(id: str = "v1") -> Viewer:
    return Viewer(id=id, session="s", camera=CameraId("yard"), protocol=Protocol.HLS, subject="")


async def passed(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), PATIENCE_S)


async def test_nobody_watches_and_nothing_is_dialled(life: Life, states: list[CameraState]) -> None:
    """It stands by, and says so."""
    async with running(life, states, SHORT_S):
        await asyncio.sleep(0)
        assert states == [CameraState.STANDBY]
    assert life.count == 0


async def test_the_first_viewer_begins_and_the_last_one_ends_it(
    life: Life, states: list[CameraState]
) -> None:
    """Viewers in between change nothing."""
    async with running(life, states, SHORT_S) as demand:
        first, second = viewer("v1"), viewer("v2")
        demand.watch(first)
        await passed(life.begun)
        demand.watch(second)
        first.end(EndReason.CLIENT_CLOSED)
        await asyncio.sleep(10 * SHORT_S)
        assert life.begun.is_set()

        second.end(EndReason.CLIENT_GONE)
        await passed(life.ended)
        await asyncio.sleep(0)

        assert life.count == 1
        assert states == [CameraState.STANDBY, CameraState.STANDBY]


async def test_a_viewing_counts_once_however_often_it_asks(life: Life, states: list[CameraState]) -> None:
    """HLS comes here with each request."""
    async with running(life, states, SHORT_S) as demand:
        only = viewer()
        demand.watch(only)
        demand.watch(only)
        await passed(life.begun)

        only.end(EndReason.CLIENT_GONE)

        await passed(life.ended)


async def test_who_comes_back_finds_it_running(life: Life, states: list[CameraState]) -> None:
    """A reload within the linger costs no connection."""
    async with running(life, states, 0.05) as demand:
        first, second = viewer("v1"), viewer("v2")
        demand.watch(first)
        await passed(life.begun)
        first.end(EndReason.CLIENT_CLOSED)
        demand.watch(second)
        await asyncio.sleep(0.1)

        assert life.begun.is_set()
        assert life.count == 1


async def test_who_comes_while_it_hangs_up_gets_a_new_connection(
    life: Life, states: list[CameraState]
) -> None:
    """The old one is gone first: some cameras allow one session only."""
    async with running(life, states, SHORT_S) as demand:
        first = viewer("v1")
        demand.watch(first)
        await passed(life.begun)
        life.hangs_up.clear()
        first.end(EndReason.CLIENT_CLOSED)
        await passed(life.cut)
        demand.watch(viewer("v2"))
        assert life.count == 1

        life.begun.clear()
        life.hangs_up.set()
        await passed(life.ended)
        await passed(life.begun)

        assert life.count == 2


async def test_a_camera_that_is_taken_away_hangs_up(life: Life, states: list[CameraState]) -> None:
    """Whoever watches."""
    async with running(life, states, LONG_S) as demand:
        demand.watch(viewer())
        await passed(life.begun)
    assert life.ended.is_set()
