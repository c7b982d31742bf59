"""Fixtures that start real things. Values and fakes are in builders.py and fakes.py."""

from __future__ import annotations

import fcntl
import inspect
import itertools
import os
import re
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import Browser, async_playwright

from cameras.gst import GstCamera
from camrelay.database import Database
from camrelay.simulate.options import Options, Picture
from camrelay.simulate.server import Simulator
from postgres import running_postgres
from processes import Relay, StartRelay
from watching import ARGUMENTS, CHROMIUM


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deals the tests to the processes of a run, each of which begins with its share: those that wait first.

    What takes milliseconds is left for the end, and all processes end together. Those that would wait for
    each other's network go to one process.

    A test that waits for real programs or sockets may be tried three times, and the summary says which was: a
    host that takes the cores away for a second does so now and then, what is wrong by itself is wrong always.
    What waits for nothing, as all tests of cores, is tried once.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = -(-len(items) // processes)
    dealt: list[list[pytest.Item]] = [[] for _ in range(processes)]
    quick: list[pytest.Item] = []
    for item in items:
        if item.get_closest_marker("e2e") or inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.flaky(reruns=2))
        if "multicast" in getattr(item, "fixturenames", ()):
            dealt[0].append(item)
        elif item.get_closest_marker("e2e"):
            min(dealt, key=len).append(item)
        else:
            quick.append(item)
    rest = iter(quick)
    for mine in dealt:
        mine += itertools.islice(rest, max(0, share - len(mine)))
    items[:] = itertools.chain(*dealt)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Path]:
    """The folder with the socket of a PostgreSQL server of this process's tests."""
    with running_postgres() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new and empty database, once of each kind that camrelay runs on."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'camrelay.db'}"
    folder, name = request.getfixturevalue("postgres"), f"t{uuid.uuid4().hex}"
    connection = await asyncpg.connect(host=str(folder), user="postgres", database="postgres")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return f"postgresql+asyncpg:///{name}?host={folder}&user=postgres"


@pytest.fixture(params=["sqlite", "postgresql"])
def people_url(request: pytest.FixtureRequest) -> str:
    """`audit.url` for each kind of database of people; logs have schemas of their own there."""
    if request.param == "sqlite":
        return ""
    return f"postgresql+asyncpg:///postgres?host={request.getfixturevalue('postgres')}&user=postgres"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same, opened, with every table."""
    opened = Database(database_url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def multicast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody else searches the network meanwhile, or answers there, in another process of the tests."""
    with (tmp_path_factory.getbasetemp().parent / "multicast").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
async def start_relay(tmp_path: Path) -> AsyncIterator[StartRelay]:
    """Starts relays, each in a folder of its own, and stops them after the test.

    No test may make one write a token, or the path of a media session, into its log.
    """
    relays: list[Relay] = []

    async def start(
        cameras: Mapping[str, str], options: Mapping[str, str] | None = None, camera_options: str = ""
    ) -> Relay:
        folder = tmp_path / f"relay{len(relays)}"
        folder.mkdir()
        relay = Relay(folder, cameras, options, camera_options)
        relays.append(relay)
        await relay.start()
        return relay

    yield start
    for relay in relays:
        await relay.stop()
        text = relay.log.read_text(errors="replace")
        print(f"--- {relay.log}\n{text[-6000:]}")
        assert not any(token in text for token in relay.tokens), "a token in the log"
        assert not re.search(r"/m/\w", text), "a media session's path in the log"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Two simulated cameras with a small picture and a key frame every second."""
    picture = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)
    async with Simulator(Options(cameras=2, picture=picture)) as running:
        yield running


@pytest.fixture
async def relay(start_relay: StartRelay, simulator: Simulator) -> Relay:
    """A relay of the two simulated cameras, `cam1` and `cam2`, both live."""
    running = await start_relay({"cam1": simulator.url(1), "cam2": simulator.url(2)})
    await running.live("cam1")
    await running.live("cam2")
    return running


@pytest.fixture
async def gst_camera() -> AsyncIterator[GstCamera]:
    """A camera that is not ours: GStreamer's RTSP server, with a key frame every second."""
    async with GstCamera("--key-int-max", "25") as camera:
        yield camera


@pytest.fixture(scope="session")
async def running_chromium() -> AsyncIterator[Browser]:
    """The browser of this process's tests: one takes a second and a half of a core to start."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def chromium(running_chromium: Browser) -> AsyncIterator[Browser]:
    """The system's Chromium, without a window; what a test opened in it is closed after the test."""
    yield running_chromium
    for context in running_chromium.contexts:
        await context.close()
