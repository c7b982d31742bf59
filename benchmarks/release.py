"""How soon one part releases a thousand blocked reloads, and what readers that do not read cost the others.

A thousand connections wait for the next version of one playlist, again and again; a wave runs from the first
answer to the last, whole, at the clients. The server tells how long it took it to hand them to the kernel.
Then low-latency viewers watch, in turns alone and beside readers of the same camera that take nothing at all
or one per cent of its bit rate: the difference of the viewers' p99 delay is what those cost, and the growth
of the server's memory what it keeps for them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

from benchmarks import exposition
from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.llhls.crowd import Crowd
from benchmarks.llhls.gets import nearest
from benchmarks.llhls.http1 import Connection
from benchmarks.llhls.playlist import parse
from benchmarks.llhls.session import Session, check
from benchmarks.percentile import percentile
from benchmarks.result import Cell, Table
from benchmarks.sampling import usage
from benchmarks.servers.adapter import Server
from benchmarks.servers.camrelay import Camrelay
from camrelay.simulate.options import Picture

OWED = {
    "hls_release_p50_ms": "ms",
    "hls_release_p99_ms": "ms",
    "hls_release_server_p50_ms": "ms",
    "hls_slow_readers_added_p99_ms": "ms",
    "hls_slow_readers_mb": "MB",
    "hls_slow_readers_cut": "readers",
}

QUICK = [
    "--reloads", "20", "--waves", "3", "--viewers", "2", "--readers", "1", "--warm-up", "0", "--rounds", "1",
    "--seconds", "1",
]  # fmt: skip

_RELEASE = "camrelay_hls_request_seconds"
_LAGGED = "camrelay_viewer_lagged_total"

#: So small a buffer makes a slow reader's slowness the server's business.
_RECEIVE_BUFFER_BYTES = 4096
_SLOW_SHARE = 0.01


class Wave:
    """Connections that wait for the same version of a playlist, one request each."""

    def __init__(self, session: Session, connections: Sequence[Connection]) -> None:
        self._session = session
        self._connections = connections

    async def next(self) -> float:
        """Milliseconds between the first and the last whole answer to a reload of all connections."""
        playlist = parse(
            check(await self._session.get(self._session.reloads, self._session.playlist_path))
            .content()
            .decode()
        )
        msn, part = playlist.next_part
        # The part after the next one: everybody is waiting before it comes.
        path = f"{self._session.playlist_path}?_HLS_msn={msn}&_HLS_part={part + 1}"
        moments: list[float] = []
        waiting = [connection.get(path, keep=False) for connection in self._connections]
        for each in waiting:
            each.add_done_callback(lambda _: moments.append(time.monotonic()))
        for response in await asyncio.gather(*waiting):
            check(response)
        return (moments[-1] - moments[0]) * 1000


async def waves(run: Run, server: Server) -> None:
    """The first half: reloads."""
    url = server.hls("cam1")
    session = Session(url)
    parts = urlsplit(url)
    assert parts.hostname, "a server has an address"
    connections = [Connection(parts.hostname, parts.port or 80) for _ in range(run.options.reloads)]
    try:
        await session.enter()
        for connection in connections:
            await connection.open()
        wave = Wave(session, connections)
        page = await server.metrics()
        spans = [await wave.next() for _ in range(run.options.waves + 1)][1:]
        after = await server.metrics()
    finally:
        session.close()
        for connection in connections:
            connection.close()
    result = run.result
    result.figure("hls_release_p50_ms", percentile(spans, 50), "ms")
    result.figure("hls_release_p99_ms", percentile(spans, 99), "ms")
    told = exposition.quantile(page, after, _RELEASE, 0.5)
    result.figure("hls_release_server_p50_ms", None if told is None else told * 1000, "ms", "no such metric")
    rows: list[list[Cell]] = [[len(connections), len(spans), percentile(spans, 50), max(spans)]]
    columns = ["reloads that wait", "waves", "first to last answer p50 ms", "max ms"]
    result.tables.append(Table("One part releases all", columns, rows))


async def read_slowly(url: str, bytes_per_s: float) -> None:
    """Asks for a segment again and again, and takes so much of it a second; ends when it is cut."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        sock.setblocking(False)
        await loop.sock_connect(sock, (parts.hostname, parts.port or 80))
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                await loop.sock_sendall(sock, f"GET {parts.path} HTTP/1.1\r\nHost: slow\r\n\r\n".encode())
            while True:
                await asyncio.sleep(1.0)
                if bytes_per_s and not await loop.sock_recv(sock, round(bytes_per_s)):
                    return


async def slow_readers(run: Run, server: Server) -> None:
    """The second half: viewers without and with bad company, in turns."""
    options = run.options
    alone: list[float] = []
    beside: list[float] = []
    async with Crowd() as crowd:
        await crowd.join(server.hls("cam1"), options.viewers, per_second=50)
        await asyncio.sleep(options.warm_up)
        page, before = await server.metrics(), usage(server.pid)
        for _ in range(options.rounds):
            alone.append(await _delay_ms(crowd, options.seconds))
            async with _company(run, server):
                beside.append(await _delay_ms(crowd, options.seconds))
                after, page_after = usage(server.pid), await server.metrics()
    result = run.result
    added = [late - early for early, late in zip(alone, beside, strict=True)]
    cut = exposition.total(page_after, _LAGGED) - exposition.total(page, _LAGGED)
    result.figure("hls_slow_readers_added_p99_ms", max(0.0, statistics.median(added)), "ms")
    result.figure("hls_slow_readers_mb", max(0.0, (after.rss_bytes - before.rss_bytes) / 1e6), "MB")
    result.figure("hls_slow_readers_cut", cut, "readers")
    rows: list[list[Cell]] = [
        ["alone", statistics.median(alone), min(alone), max(alone)],
        [f"beside {2 * options.readers} slow readers", statistics.median(beside), min(beside), max(beside)],
    ]
    columns = ["", "delay p99 ms", "lowest round", "highest round"]
    result.tables.append(Table(f"{options.viewers} viewers", columns, rows))


async def _delay_ms(crowd: Crowd, seconds: float) -> float:
    """The 99th percentile of all viewers' delays from now on."""
    crowd.forget_delays()
    await asyncio.sleep(seconds)
    return percentile([delay for viewer in crowd.viewers for delay in viewer.delays_s], 99) * 1000


@contextlib.asynccontextmanager
async def _company(run: Run, server: Server) -> AsyncIterator[None]:
    options = run.options
    # A media session that nobody uses ends: no earlier than now.
    url = (await nearest(server, options.bitrate // 4)).url
    rates = (0.0, options.bitrate / 8 * _SLOW_SHARE)
    readers = [asyncio.create_task(read_slowly(url, rate)) for rate in rates for _ in range(options.readers)]
    try:
        yield
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def body(run: Run) -> None:
    """Both halves, of one server."""
    picture = Picture(bitrate_bps=run.options.bitrate)
    async with Feed(run.directory, run.cores.load, picture=picture) as feed:
        server = Camrelay(run.directory, run.cores.server)
        await server.start({"cam1": feed.url()})
        run.result.servers["camrelay"] = server.settings
        try:
            await waves(run, server)
            await slow_readers(run, server)
        finally:
            await server.stop()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--reloads", type=int, default=1000, help="connections that wait for one part")
    parser.add_argument("--waves", type=int, default=50, help="measured")
    parser.add_argument("--viewers", type=int, default=200, help="beside slow readers")
    parser.add_argument(
        "--readers", type=int, default=10, help="that take nothing, and as many that take 1 %%"
    )
    parser.add_argument("--warm-up", type=float, default=40.0, help="seconds until memory is measured")
    parser.add_argument("--rounds", type=int, default=3, help="without slow readers, then with them")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each half of a round")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of the camera, bits per second")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("release", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
