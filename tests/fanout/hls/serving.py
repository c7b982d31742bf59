"""One camera behind a real listener, fed by the test, for tests of window, handler and response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
from aiohttp import web

from builders import make_gop
from camrelay import config
from camrelay.errors import CamrelayError
from camrelay.fanout.hls.express import ExpressRunner
from camrelay.fanout.hls.handler import HlsServer
from camrelay.fanout.hub import Hub
from camrelay.model import CLOCK_RATE, AccessUnit, CameraId, Protocol, Viewer

CAMERA = CameraId("door")


class Served:
    """A hub, its HLS output and a client; `errors` are those that handlers raised."""

    def __init__(self, options: config.Hls, *, is_public: bool) -> None:
        self.hub = Hub(CAMERA, config.Ring())
        self.server = HlsServer(options)
        self.server.attach(self.hub, is_public=is_public)
        self.viewer = make_viewer()
        self.errors: list[CamrelayError] = []
        #: Paths that went aiohttp's way.
        self.ordinary: list[str] = []
        #: What a fault of the test answers instead, None for what is right.
        self.spoil: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None
        self.status_of: Callable[[CamrelayError], int] = lambda error: 418
        #: Whether the gate knows the viewing without being asked.
        self.is_known = True
        self.url = ""
        self.address = ("", 0)
        self.client: aiohttp.ClientSession
        self.dts = 0

    def feed(self, units: Iterable[AccessUnit] | None = None, *, pictures: int = 10, size: int = 100) -> None:
        """Publishes access units: as told, or that many pictures of a GOP that begins now."""
        if units is None:
            units = make_gop(self.dts, units=pictures, size=size)
            self.dts += pictures * CLOCK_RATE // 25
        for au in units:
            self.hub.publish(au)

    def first_msn(self) -> int:
        """Of the oldest segment that is listed."""
        return self.server._presentations[CAMERA].window("main")._listing._entries[0].segment.msn

    def get(self, path: str, **options: object) -> aiohttp.client._RequestContextManager:
        """A request below the camera's path."""
        return self.client.get(f"{self.url}/{path}", **options)  # type: ignore[arg-type]

    async def text(self, path: str = "main/stream.m3u8") -> str:
        """The body of a 200 answer."""
        async with self.get(path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()


def make_viewer() -> Viewer:
    """A viewing of the camera."""
    return Viewer(id="v1", session="s1", camera=CAMERA, protocol=Protocol.HLS, subject="ana")


@asynccontextmanager
async def serve(
    options: config.Hls | None = None,
    *,
    is_public: bool = False,
    is_express: bool = False,
    keepalive_s: float = 15.0,
) -> AsyncIterator[Served]:
    """Serves one camera on a free port. Errors are answered by their class name, as status 418."""
    served = Served(options or config.Hls(), is_public=is_public)
    app = web.Application()
    for method, path, handler in served.server.routes():

        async def handle(request: web.Request, handler=handler) -> web.StreamResponse:  # type: ignore[no-untyped-def]
            served.ordinary.append(request.path_qs)
            if served.spoil is not None and (spoiled := await served.spoil(request)) is not None:
                return spoiled
            try:
                return await handler(request, served.viewer)
            except CamrelayError as error:
                served.errors.append(error)
                return web.Response(status=served.status_of(error), text=type(error).__name__)

        app.router.add_route(method, path, handle)
    make_runner: Callable[..., web.AppRunner] = web.AppRunner
    if is_express:
        make_runner = partial(
            ExpressRunner,
            find_viewer=lambda secret, camera: served.viewer if served.is_known else None,
            find_answer=served.server.find,
        )
    runner = make_runner(
        app, access_log=None, keepalive_timeout=keepalive_s, handler_cancellation=True, shutdown_timeout=1
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.address = runner.addresses[0]
    served.url = f"http://127.0.0.1:{served.address[1]}/m/secret/{CAMERA}"
    async with aiohttp.ClientSession(
        auto_decompress=False, skip_auto_headers=["Accept-Encoding"]
    ) as served.client:
        try:
            yield served
        finally:
            await served.server.close()
            await runner.cleanup()
