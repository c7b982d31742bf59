"""Copies of the record, on their way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from audit_builders import make_start, write_log
from camrelay.audit import sinks as module
from camrelay.audit.archive import log_files
from camrelay.audit.sink import parse_address
from camrelay.audit.sinks import CURSORS, Check, Place, Sinks, read_on
from camrelay.errors import EgressDenied

LAST = ("2026-11-22", 1 << 40)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two days of ten records; sinks are tried at once."""
    monkeypatch.setattr(module, "POLL_S", 0.01)
    store = tmp_path / "store"
    write_log(store, [[make_start(day * 10 + n) for n in range(10)] for day in range(2)])
    return store


def whole(store: Path) -> bytes:
    return b"".join(path.read_bytes() for path in log_files(store))


def allow(*_: object) -> None:
    """Every address."""


@asynccontextmanager
async def sending(
    store: Path, target: str, check: Check = allow, durable: Callable[[], Place] = lambda: LAST
) -> AsyncIterator[None]:
    sinks = Sinks(store, [parse_address(target)], durable, check, lambda: 0)
    await sinks.start()
    try:
        yield
    finally:
        await sinks.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


class Collector:
    """An HTTP sink that can fail.

    Attributes:
        taken: what it acknowledged.
        statuses: what it answers next; 204 when there is none left.
    """

    def __init__(self) -> None:
        self.taken = b""
        self.statuses: list[int] = []
        self.asked = 0

    async def take(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.read()
        status = self.statuses.pop(0) if self.statuses else 204
        if status == 204:
            self.taken += body
        headers = {"Location": "http://169.254.169.254/"} if status == 302 else {}
        return web.Response(status=status, headers=headers)


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    made, app = Collector(), web.Application()
    app.router.add_post("/take", made.take)
    async with TestServer(app) as server:
        yield made, str(server.make_url("/take"))


async def test_a_file_gets_every_line_once_and_goes_on_where_it_was(store: Path, tmp_path: Path) -> None:
    """After a restart too; its name is nobody else's to read."""
    copy = tmp_path / "copy.jsonl"
    first = len(log_files(store)[0].read_bytes())
    async with sending(store, f"file:{copy}", durable=lambda: ("2026-11-21", first)):
        await until(lambda: copy.exists() and copy.stat().st_size == first)
    async with sending(store, f"file:{copy}"):
        await until(lambda: copy.read_bytes() == whole(store))
    assert copy.stat().st_mode & 0o077 == 0


async def test_what_is_not_durable_is_not_sent(store: Path, tmp_path: Path) -> None:
    """It may yet be taken back."""
    copy = tmp_path / "copy.jsonl"
    lines = log_files(store)[0].read_bytes().splitlines(keepends=True)
    async with sending(store, f"file:{copy}", durable=lambda: ("2026-11-21", len(b"".join(lines[:3])))):
        await until(lambda: (store / CURSORS).exists())
    assert copy.read_bytes() == b"".join(lines[:3])


async def test_an_http_sink_that_fails_gets_it_again(store: Path, collector: tuple[Collector, str]) -> None:
    """Until it acknowledges; redirects are no acknowledgement and are not followed."""
    made, url = collector
    made.statuses = [500, 302, 429]
    async with sending(store, url):
        await until(lambda: made.taken == whole(store))
    assert made.asked >= 4


async def test_a_crash_before_the_cursor_repeats_and_leaves_nothing_out(
    store: Path, collector: tuple[Collector, str]
) -> None:
    """At least once."""
    made, url = collector
    async with sending(store, url):
        await until(lambda: made.taken == whole(store) and LAST[0] in (store / CURSORS).read_text())
    (store / CURSORS).write_text("{torn")
    async with sending(store, url):
        await until(lambda: made.taken == whole(store) * 2)


async def test_an_address_that_is_not_allowed_is_not_connected_to(
    store: Path, collector: tuple[Collector, str]
) -> None:
    """Whatever a name resolves to, at every attempt."""
    made, url = collector
    checked = asyncio.Event()

    def check(*_: object) -> None:
        checked.set()
        raise EgressDenied("not there")

    for target in (url, url.replace("127.0.0.1", "localhost")):
        checked.clear()
        async with sending(store, target, check=check):
            await asyncio.wait_for(checked.wait(), 10)
    assert made.asked == 0


async def test_syslog_gets_a_message_for_each_line(store: Path) -> None:
    """Over one connection a batch."""
    heard = bytearray()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, sending(store, f"syslog://127.0.0.1:{port}"):
        await until(lambda: heard.count(b"<110>1 ") == 22)


def test_batches_are_whole_lines(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small; days follow each other, and one that was purged is passed over."""
    monkeypatch.setattr(module, "BATCH_BYTES", 10)
    cursor, lines = ("", 0), []
    while True:
        batch, after = read_on(store, cursor, LAST)
        if after == cursor:
            break
        assert len(batch) <= 1
        lines += batch
        cursor = after
    assert b"".join(lines) == whole(store)
    log_files(store)[0].unlink()
    assert read_on(store, ("2026-11-21", 50), LAST)[1][0] == "2026-11-22"
    assert read_on(store, ("2026-11-23", 0), LAST) == ([], ("2026-11-23", 0))
