"""HLS requests: which window, which playlist, part or segment, and what the delivery directives ask for.

Handlers take a request and its Viewer and return ready bytes or raise. Query parameters other than the
delivery directives of rfc8216bis §6.2.5 are ignored.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection

from aiohttp import hdrs, web

from camrelay import config
from camrelay.errors import BadRequest, NotFound
from camrelay.fanout.hls.response import Content, ReadyResponse
from camrelay.fanout.hls.window import Window
from camrelay.fanout.hub import Hub
from camrelay.model import CameraId, Viewer

Handler = Callable[[web.Request, Viewer], Awaitable[web.StreamResponse]]

#: A media sequence number that starts at unix seconds has ten digits; nobody needs more than these.
_MAX_DIGITS = 15
_REFUSED_GZIP = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")


class HlsServer:
    """The HLS output of every camera."""

    def __init__(self, options: config.Hls) -> None:
        self._options = options
        self._windows: dict[CameraId, tuple[Window, Callable[[], None]]] = {}

    def attach(self, hub: Hub, *, is_public: bool) -> None:
        """Begins to serve a camera.

        Media sequence numbers start at the unix time: segments are rarer than one a second, so numbers never
        go back for a viewer, neither over a restart nor when a camera is added again.
        """
        window = Window(
            hub.camera,
            self._options,
            is_public=is_public,
            first_number=int(time.time()),
            prefix=secrets.token_hex(4),
        )
        self._windows[hub.camera] = (window, hub.attach(window))

    def detach(self, camera: CameraId) -> None:
        """Stops serving a camera."""
        window, detach = self._windows.pop(camera)
        detach()
        window.close()

    @property
    def cameras(self) -> Collection[CameraId]:
        """The cameras that are served."""
        return self._windows.keys()

    def waiting(self, camera: CameraId) -> int:
        """How many requests wait for what this camera sends next."""
        return self._windows[camera][0].waiting

    def routes(self) -> list[tuple[str, str, Handler]]:
        """(method, path, handler) of everything below a media session's secret."""
        base = "/m/{secret}/{camera}"
        paths = {
            f"{base}/index.m3u8": self.multivariant,
            f"{base}/main/stream.m3u8": self.media,
            f"{base}/main/{{name}}": self.resource,
        }
        return [(method, path, handler) for path, handler in paths.items() for method in ("GET", "HEAD")]

    async def multivariant(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        """GET index.m3u8.

        Raises:
            NotFound, StreamNotReady, SessionEnded, Overloaded: as Window.multivariant.
        """
        return ReadyResponse(await self._window(viewer).multivariant(viewer), viewer)

    async def media(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        """GET main/stream.m3u8, perhaps with _HLS_msn, _HLS_part and _HLS_skip.

        Raises:
            BadRequest: a directive is malformed, or names something too far ahead.
            NotFound, StreamNotReady, SessionEnded, Overloaded: as Window.reloaded.
        """
        window = self._window(viewer)
        gzip = _accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        directives = _directives(request.rel_url.raw_query_string)
        skip = directives.get("_HLS_skip") in ("YES", "v2")
        msn, part = _number(directives, "_HLS_msn"), _number(directives, "_HLS_part")
        answer: Content
        if msn is not None:
            answer = await window.reloaded(viewer, msn, part, gzip=gzip, skip=skip)
        elif part is None:
            answer = await window.media(viewer, gzip=gzip, skip=skip)
        else:
            raise BadRequest("_HLS_part without _HLS_msn")
        return ReadyResponse(answer, viewer)

    async def resource(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        """GET main/{name}: an init section, a part or a segment.

        Raises:
            NotFound, StreamNotReady, SessionEnded, Overloaded: as Window.resource.
        """
        name = request.match_info["name"]
        return ReadyResponse(await self._window(viewer).resource(viewer, name), viewer)

    def _window(self, viewer: Viewer) -> Window:
        try:
            return self._windows[viewer.camera][0]
        except KeyError:
            raise NotFound("no such camera") from None


def _directives(query: str) -> dict[str, str]:
    """The delivery directives of a raw query string; their values need no decoding."""
    if "_HLS_" not in query:
        return {}
    return dict(item.partition("=")[::2] for item in query.split("&") if item.startswith("_HLS_"))


def _number(directives: dict[str, str], name: str) -> int | None:
    value = directives.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS):
        raise BadRequest(f"{name} is not a number")
    return int(value)


def _accepts_gzip(accepted: str) -> bool:
    """Whether Accept-Encoding names gzip and does not refuse it by its weight (RFC 9110 §12.5.3)."""
    return "gzip" in accepted and _REFUSED_GZIP.search(accepted) is None
