"""aiohttp with the plainest handler: what a route costs before anybody tunes it.

As a program it is that server.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Collection, Mapping

import aiohttp
import uvloop
from aiohttp import web

from benchmarks.child import accepts, free_port
from benchmarks.servers.static import StaticServer


class AiohttpPlain(StaticServer):
    """The program below, in a process of its own."""

    name = "aiohttp"

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        self._port = free_port()
        self.settings = {"loop": "uvloop", "access log": "off"}
        pairs = [f"{name}={length}" for name, length in self.bodies.items()]
        return [sys.executable, "-m", "benchmarks.servers.aiohttp_plain", str(self._port), *pairs]

    async def is_ready(self, http: aiohttp.ClientSession, cameras: Collection[str]) -> bool:
        return await accepts(self._port)

    def body(self, name: str) -> str:
        return f"http://127.0.0.1:{self._port}/{name}"


async def serve(port: int, lengths: Mapping[str, int]) -> None:
    """Serves until killed."""
    bodies = {name: random.Random(length).randbytes(length) for name, length in lengths.items()}

    async def get(request: web.Request) -> web.Response:
        return web.Response(body=bodies[request.match_info["name"]], content_type="video/mp4")

    app = web.Application()
    app.router.add_get("/{name}", get)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    pairs = dict(argument.split("=", 1) for argument in sys.argv[2:])
    uvloop.run(serve(int(sys.argv[1]), {name: int(length) for name, length in pairs.items()}))
