"""The short way for what players ask for most: the next part or playlist, by a viewer who is known already.

aiohttp spends several times longer on a request (parser, URL, request object, task, router, response) than
the kernel does on sending a part. This connection handler looks at incoming bytes first. If they are one
plain GET of media that can be answered now, or once the camera's next part is there, it answers. Anything
else goes aiohttp's way untouched: a viewing's first request, every error, other methods, paths and headers.

The two ways never mix up a connection: the short one is open only while every request so far came as one
whole head without a body, so that aiohttp's parser holds nothing back, and only while aiohttp has no request.
What is used of its RequestHandler beyond the documentation: `_waiter` (it is idle), `_messages` (nothing is
queued) and `_next_keepalive_close_time`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from aiohttp import web

from camrelay import metrics, model
from camrelay.errors import CamrelayError, SessionEnded
from camrelay.fanout.hls import response
from camrelay.fanout.hls.response import Content
from camrelay.fanout.hls.waiting import Pending
from camrelay.model import EndReason, Viewer

#: Secret and camera of a media session; what is below them; the headers with what stands before them.
_GET = re.compile(rb"(GET /m/([\w-]{1,64})/([\w-]{1,64})/)([^ ]*)( HTTP/1\.1\r\n.*)", re.DOTALL)
#: Directory, name and query of what players fetch below a camera.
_TARGET = re.compile(rb"[\w-]{1,64}/[\w.]{1,64}(?:\?[\w&=-]{0,128})?")
#: Headers that change what a request is, or what may follow it.
_UNUSUAL = re.compile(rb"\n(?:content-length|transfer-encoding|expect|upgrade|connection:(?! ?keep-alive\r))")
_GZIP = re.compile(rb"\naccept-encoding:[^\r]*\bgzip\b(?! *; *q=0)")
#: Requests held back while one waits for its answer. Browsers and players send none.
_MAX_HELD_BYTES = 16_384
#: How long the gate's word that a viewing runs is good for. Its end is heard of at once in any case, and an
#: expiry when the gate notices it, a quarter of a second late at most.
_KNOWN_S = 1.0
#: A connection that waits for an answer is not idle. Nothing waits longer than three TARGETDURATIONs.
_WAITING_S = 65.0

#: The running viewing of (secret, camera), None when the gate has to be asked.
FindViewer = Callable[[str, str], Viewer | None]


class FindAnswer(Protocol):
    """What answers a request now or later; raises what the ordinary way will answer with."""

    def __call__(self, viewer: Viewer, target: bytes, *, gzip: bool) -> Content | Pending[Content]: ...


class ExpressHandler(web.RequestHandler):
    """One connection of a viewer."""

    __slots__ = (
        "_address",
        "_asked_at",
        "_deadline",
        "_find_answer",
        "_find_viewer",
        "_forget",
        "_has_gzip",
        "_headers",
        "_held",
        "_is_plain",
        "_left_bytes",
        "_path",
        "_pending",
        "_request",
        "_timer",
        "_viewer",
    )

    def __init__(
        self, manager: web.Server, find_viewer: FindViewer, find_answer: FindAnswer, **options: Any
    ) -> None:
        super().__init__(manager, **options)
        self._find_viewer = find_viewer
        self._find_answer = find_answer
        self._is_plain = True
        #: How the last request began and ended, up to its target and from behind it: a client repeats both.
        self._path = self._headers = b""
        #: Secret and camera in that path, and whether gzip is among those headers.
        self._address = ("", "")
        self._has_gzip = False
        #: Whose the connection is, and lets the viewing forget it.
        self._viewer: Viewer | None = None
        self._asked_at = 0.0
        self._forget: Callable[[], None] = _nothing
        #: What is waited for, and the request that does.
        self._pending: Pending[Content] | None = None
        self._request = b""
        #: What came while an answer was awaited or on its way.
        self._held = b""
        #: Looks after an answer that is on its way.
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._left_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Paused shall mean that something is left to send, not that much is.
        cast(asyncio.WriteTransport, transport).set_write_buffer_limits(0)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._pending is not None:
            self._pending.leave(self._settle)
            self._pending = None
        self._stop_timer()
        self._belong_to(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._pending is not None or self._timer is not None:
            self._hold(data)
        elif not (self._is_plain and self._answer(data)):
            super().data_received(data)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._timer is not None:
            self._stop_timer()
            self._go_on()

    def _answer(self, data: bytes) -> bool:
        """Answers a request that came alone and whole; False leaves it to aiohttp."""
        path, headers = self._path, self._headers
        is_like_the_last = path and data.startswith(path) and data.endswith(headers)
        target = data[len(path) : -len(headers)] if is_like_the_last else b""
        if _TARGET.fullmatch(target) is None:
            target = self._read(data)
        waiter = self._waiter
        if not target or waiter is None or waiter.done() or self._messages:
            return False
        now = self._loop.time()
        if self._viewer is None or now >= self._asked_at + _KNOWN_S:
            self._asked_at = now
            viewer = self._find_viewer(*self._address)
            if viewer is not self._viewer:
                self._belong_to(viewer)
        viewer = self._viewer
        if viewer is None:
            return False
        try:
            answer = self._find_answer(viewer, target, gzip=self._has_gzip)
            if isinstance(answer, Content):
                self._send(answer)
            else:
                self._await(answer, data)
        except CamrelayError:
            return False
        return True

    def _read(self, data: bytes) -> bytes:
        """The target of a head that is unlike the one before it, b"" if it is no plain GET of media."""
        self._is_plain = _is_plain(data)
        found = _GET.fullmatch(data)
        if not self._is_plain or found is None or _TARGET.fullmatch(found[4]) is None:
            return b""
        self._path, secret, camera, target, self._headers = found.groups()
        self._belong_to(None)
        self._address = (secret.decode(), camera.decode())
        self._has_gzip = _GZIP.search(self._headers.lower()) is not None
        return target

    def _belong_to(self, viewer: Viewer | None) -> None:
        self._forget()
        self._viewer = viewer
        self._forget = _nothing if viewer is None else viewer.on_end(self._end)

    def _end(self, reason: EndReason) -> None:
        """The viewing is over: nothing more leaves for it."""
        self._viewer, self._forget = None, _nothing
        if self._timer is not None and self.transport is not None:
            self.transport.abort()
        elif self._pending is not None:
            self._pending.leave(self._settle)
            self._settle(SessionEnded(reason))

    def _await(self, answer: Pending[Content], data: bytes) -> None:
        answer.join(self._settle)
        self._pending, self._request = answer, data
        self._next_keepalive_close_time = self._loop.time() + _WAITING_S

    def _settle(self, answer: Content | CamrelayError) -> None:
        self._pending = None
        request, self._request = self._request, b""
        if isinstance(answer, Content):
            self._send(answer)
        else:
            # aiohttp's way meets the same reason again, and has the words for it.
            super().data_received(request)
        if self._held and self._timer is None:
            self._go_on()

    def _send(self, content: Content) -> None:
        transport, viewer = self.transport, self._viewer
        assert transport is not None
        assert viewer is not None
        transport.writelines(content.whole())
        viewer.bytes_sent += content.size
        now = self._loop.time()
        self._next_keepalive_close_time = now + self.keepalive_timeout
        if self.writing_paused:
            self._deadline = now + response.BODY_S
            self._left_bytes = transport.get_write_buffer_size()
            self._timer = self._loop.call_later(response.STALL_S, self._check_progress, viewer)

    def _check_progress(self, viewer: Viewer) -> None:
        """Cuts a reader that took nothing for STALL_S, or needs more than BODY_S."""
        transport = self.transport
        assert transport is not None
        left_bytes = transport.get_write_buffer_size()
        if left_bytes >= self._left_bytes or self._loop.time() > self._deadline:
            metrics.viewer_lagged.labels(viewer.camera, model.Protocol.HLS).inc()
            transport.abort()
            return
        self._left_bytes = left_bytes
        self._timer = self._loop.call_later(response.STALL_S, self._check_progress, viewer)

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > _MAX_HELD_BYTES and self.transport is not None:
            self.transport.abort()

    def _go_on(self) -> None:
        """Turns to what came meanwhile."""
        held, self._held = self._held, b""
        if held:
            self.data_received(held)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _is_plain(data: bytes) -> bool:
    """Whether this is exactly one request head, with nothing that could change its meaning."""
    if data.find(b"\r\n\r\n") != len(data) - 4:
        return False
    lowered = data[data.find(b"\n") :].lower()
    return lowered.count(b"\nhost:") == 1 and _UNUSUAL.search(lowered) is None


def _nothing() -> None:
    """There is nothing to forget."""


class ExpressRunner(web.AppRunner):
    """Serves an application over connections that know the short way.

    Args:
        app: for everything else.
        find_viewer: the running viewing of (secret, camera), None when the gate has to be asked.
        find_answer: what the viewer gets, as HlsServer.find.
        options: as for AppRunner.
    """

    def __init__(
        self, app: web.Application, find_viewer: FindViewer, find_answer: FindAnswer, **options: Any
    ) -> None:
        super().__init__(app, **options)
        for_the_runner = ("handle_signals", "shutdown_timeout", "handler_cancellation")
        self._connect = partial(
            ExpressHandler,
            find_viewer=find_viewer,
            find_answer=find_answer,
            **{name: value for name, value in options.items() if name not in for_the_runner},
        )

    @property
    def server(self) -> Any:
        """What makes a connection; sites hand it to the event loop."""
        manager = super().server
        return manager and partial(self._connect, manager, loop=asyncio.get_running_loop())
