"""Plain GETs of one body, as fast as one core answers: wrk against parts, segments, static bodies (P3)."""

from __future__ import annotations

import asyncio
import re
import shutil
from typing import NamedTuple
from urllib.parse import urljoin

from benchmarks.command import Run
from benchmarks.feed import Feed
from benchmarks.llhls.http1 import Broken
from benchmarks.llhls.playlist import BadPlaylist, parse
from benchmarks.llhls.session import Session, check
from benchmarks.pinning import pinned
from benchmarks.servers.adapter import Server
from benchmarks.servers.registry import SERVERS
from benchmarks.servers.static import StaticServer

#: What P3 names. With the camera at 2 Mb/s they are a part of 200 ms and a segment of 2 s.
SIZES = {"50kb": 50_000, "500kb": 500_000}

_CONNECTIONS = 100

#: How long a live server may take until it lists two whole segments.
_PATIENCE_S = 20.0


class Gets(NamedTuple):
    """One body of one server under wrk."""

    body_bytes: int
    requests_per_s: float


class Body(NamedTuple):
    """Where a body is; `fields` are header fields the request needs."""

    url: str
    length: int
    fields: bytes = b""


def missing() -> str:
    """Why there are no such figures here, "" when there can be."""
    return "" if shutil.which("wrk") else "no wrk on PATH"


async def rates(run: Run, name: str, feed: Feed, seconds: float) -> dict[str, Gets]:
    """Size -> rate of one server, which runs only for this."""
    server = SERVERS[name](run.directory, run.cores.server)
    found: dict[str, Gets] = {}
    if isinstance(server, StaticServer):
        server.bodies = SIZES
        await server.start({})
    else:
        await server.start({"cam1": feed.url()})
    run.result.servers[name] = server.settings
    try:
        for size, length in SIZES.items():
            if isinstance(server, StaticServer):
                body = Body(server.body(size), length)
            else:
                body = await nearest(server, length)
            rate = await wrk(body, run.cores.load, seconds)
            found[size] = Gets(body.length, rate)
            run.say(f"{name}: {rate:,.0f} GETs/s of {body.length:,} bytes")
    finally:
        await server.stop()
    return found


async def nearest(server: Server, wished: int) -> Body:
    """The part or segment a live server lists whose length comes closest; waits until there are two segments.

    Raises:
        Broken: the server lists none in time.
    """
    session = Session(server.hls("cam1"))
    try:
        async with asyncio.timeout(_PATIENCE_S):
            playlist = parse((await session.enter()).content().decode())
            # The first may be a short one, so that players have something to begin with.
            while len(playlist.segments) < 2:
                await asyncio.sleep(playlist.target_duration_s / 4)
                response = check(await session.get(session.reloads, session.playlist_path))
                playlist = parse(response.content().decode())
        # The newest only: the oldest are removed while wrk still asks for them.
        wanted = [piece for piece in (*playlist.segments[-2:], *playlist.pieces[-15:]) if not piece.is_gap]
        lengths = {}
        for piece in wanted:
            path = session.path(piece.uri)
            lengths[path] = check(await session.get(session.media, path, keep=False)).body_bytes
    except (TimeoutError, BadPlaylist) as error:
        raise Broken(f"no media to ask for: {error}") from None
    finally:
        session.close()
    path = min(lengths, key=lambda path: abs(lengths[path] - wished))
    return Body(urljoin(server.hls("cam1"), path), lengths[path], session.fields)


async def wrk(body: Body, core: int, seconds: float) -> float:
    """Requests per second, one thread, 100 connections.

    Raises:
        Broken: a response was no success.
    """
    options = ["-t1", f"-c{_CONNECTIONS}", f"-d{seconds:.0f}s", "--timeout", "5s"]
    for field in body.fields.decode().splitlines():
        options += ["-H", field]
    process = await asyncio.create_subprocess_exec(
        *pinned(["wrk", *options, body.url], core), stdout=asyncio.subprocess.PIPE
    )
    output = (await process.communicate())[0].decode()
    rate = re.search(r"Requests/sec:\s*([\d.]+)", output)
    if not rate or "Non-2xx" in output:
        raise Broken(f"wrk: {' '.join(output.split())[-200:]}")
    return float(rate[1])
