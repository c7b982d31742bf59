"""HLS requests: which window, which playlist, part or segment, and what the delivery directives ask for.

Handlers take a request and its Viewer and return ready bytes or raise. Query parameters other than the
delivery directives of rfc8216bis §6.2.5 are ignored.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from pathlib import Path

from aiohttp import hdrs, web

from camrelay import config
from camrelay.errors import BadRequest, NotFound
from camrelay.fanout.hls.numbers import DiscontinuityNumbers
from camrelay.fanout.hls.presentation import Presentation
from camrelay.fanout.hls.response import Content, ReadyResponse, settled
from camrelay.fanout.hls.waiting import Pending
from camrelay.fanout.hls.window import PLAYLIST_NAME, Window
from camrelay.fanout.hub import Hub
from camrelay.model import CameraId, Viewer

Handler = Callable[[web.Request, Viewer], Awaitable[web.StreamResponse]]

#: A media sequence number that starts at unix seconds has ten digits; nobody needs more than these.
_MAX_DIGITS = 15
_REFUSED_GZIP = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)")


class HlsServer:
    """The HLS output of every camera.

    Args:
        options: lengths and limits.
        directory: where to remember sequence numbers over restarts; None: nowhere.
    """

    def __init__(self, options: config.Hls, directory: Path | None = None) -> None:
        self._options = options
        self._numbers = DiscontinuityNumbers(directory)
        self._presentations: dict[CameraId, Presentation] = {}
        self._parts: dict[Window, Callable[[], None]] = {}

    def attach(self, hub: Hub, *, is_public: bool) -> None:
        """Begins to serve a stream of a camera.

        Sequence numbers never go back for a viewer, neither over a restart nor when a camera is added again.
        Those of segments start at the unix time, as segments are rarer than one a second.
        """
        presentation = self._presentations.get(hub.camera)
        if presentation is None:
            presentation = self._presentations[hub.camera] = Presentation(self._options, is_public=is_public)
        unseen = presentation.unseen_discontinuity(hub.rendition)
        window = Window(
            hub.camera,
            self._options,
            is_public=is_public,
            first_msn=int(time.time()),
            first_discontinuity=self._numbers.next(hub.camera) if unseen is None else unseen,
            discontinuity_listed=lambda _: self._numbers.seen(hub.camera, presentation.level()),
            stood_down=partial(self.attach, hub, is_public=is_public),
            prefix=secrets.token_hex(4),
            beside=partial(presentation.beside, hub.rendition),
        )
        detach, unhear = hub.attach(window), hub.hear(window.sound)

        def part() -> None:
            detach()
            unhear()

        self._parts[window] = part
        before = presentation.put(hub.rendition, window)
        if before is not None:
            self._end(before)

    def detach(self, camera: CameraId) -> None:
        """Stops serving a camera."""
        for window in self._presentations.pop(camera).windows:
            self._end(window)

    def _end(self, window: Window) -> None:
        self._parts.pop(window)()
        window.close()

    async def close(self) -> None:
        """Stops serving every camera, and returns when the sequence numbers are stored."""
        for camera in list(self._presentations):
            self.detach(camera)
        await self._numbers.flush()

    @property
    def cameras(self) -> Collection[CameraId]:
        """The cameras that are served."""
        return self._presentations.keys()

    def waiting(self, camera: CameraId) -> int:
        """How many requests wait for what this camera sends next."""
        return sum(window.waiting for window in self._presentations[camera].windows)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """(method, path, handler) of everything below a media session's secret."""
        base = "/m/{secret}/{camera}"
        paths = {
            f"{base}/index.m3u8": self.multivariant,
            f"{base}/{{rendition:main|sub}}/{{name}}": self.media,
        }
        return [(method, path, handler) for path, handler in paths.items() for method in ("GET", "HEAD")]

    async def multivariant(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        """GET index.m3u8.

        Raises:
            StreamNotReady: as Presentation.multivariant.
            SessionEnded, Overloaded: as `settled`.
        """
        return ReadyResponse(await settled(self._presentation(viewer).multivariant(), viewer), viewer)

    async def media(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        """GET {rendition}/{name}: the media playlist, an init section, a part or a segment.

        Raises:
            as `find` and `settled`.
        """
        gzip = _accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        url = request.rel_url
        rendition = request.match_info["rendition"]
        target = f"{rendition}/{url.raw_name}?{url.raw_query_string}".encode()
        return ReadyResponse(await settled(self.find(viewer, target, gzip=gzip), viewer), viewer)

    def find(self, viewer: Viewer, target: bytes, *, gzip: bool) -> Content | Pending[Content]:
        """What answers a request for `target`, now or later.

        Args:
            target: path and raw query below the camera. Of a query, delivery directives count.
            gzip: whether the client accepts it.

        Raises:
            NotFound: neither there nor hinted at.
            BadRequest: a directive is malformed, or names something too far ahead.
            StreamNotReady: as Window.reload.
        """
        rendition, _, name = target.partition(b"/")
        window = self._presentation(viewer).window(rendition.decode())
        answer = window.answers.get((target, gzip))
        if answer is None:
            answer = _find(window, name.decode(), gzip=gzip)
            window.remember((target, gzip), answer)
        return answer

    def _presentation(self, viewer: Viewer) -> Presentation:
        try:
            return self._presentations[viewer.camera]
        except KeyError:
            raise NotFound("no such camera") from None


def _find(window: Window, target: str, *, gzip: bool) -> Content | Pending[Content]:
    name, _, query = target.partition("?")
    if name != PLAYLIST_NAME:
        return window.resource(name)
    directives = _directives(query)
    skip = directives.get("_HLS_skip") in ("YES", "v2")
    msn, part = _number(directives, "_HLS_msn"), _number(directives, "_HLS_part")
    if msn is not None:
        return window.reload(msn, part, gzip=gzip, skip=skip)
    if part is not None:
        raise BadRequest("_HLS_part without _HLS_msn")
    return window.media(gzip=gzip, skip=skip)


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
