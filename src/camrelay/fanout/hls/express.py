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
from camrelay.errors import CamrelayError
from camrelay.fanout.hls import response
from camrelay.fanout.hls.response import Content, Pending, date_line
from camrelay.model import Viewer

#: Secret, camera, name and query of what players fetch below a media session.
_GET = re.compile(
    rb"GET /m/([\w-]{1,64})/([\w-]{1,64})/main/([\w.]{1,64})(?:\?([\w&=-]{0,128}))? HTTP/1\.1\r\n"
)
#: Headers that change what a request is, or what may follow it.
_UNUSUAL = re.compile(rb"\n(?:content-length|transfer-encoding|expect|upgrade|connection:(?! ?keep-alive\r))")
_GZIP = re.compile(rb"\naccept-encoding:[^\r]*\bgzip\b(?! *; *q=0)")
#: Requests held back while one waits for its answer. Browsers and players send none.
_MAX_HELD_BYTES = 16_384
#: A connection that waits for an answer is not idle. Nothing waits longer than three TARGETDURATIONs.
_WAITING_S = 65.0

#: The running viewing of (secret, camera), None when the gate has to be asked.
FindViewer = Callable[[str, str], Viewer | None]


class FindAnswer(Protocol):
    """What answers a request now or later; raises what the ordinary way will answer with."""

    def __call__(self, viewer: Viewer, name: str, query: str, *, gzip: bool) -> Content | Pending: ...


class ExpressHandler(web.RequestHandler):
    """One connection of a viewer."""

    __slots__ = (
        "_deadline",
        "_find_answer",
        "_find_viewer",
        "_forget",
        "_has_gzip",
        "_headers",
        "_held",
        "_is_plain",
        "_left_bytes",
        "_ready",
        "_timer",
    )

    def __init__(
        self, manager: web.Server, find_viewer: FindViewer, find_answer: FindAnswer, **options: Any
    ) -> None:
        super().__init__(manager, **options)
        self._find_viewer = find_viewer
        self._find_answer = find_answer
        self._is_plain = True
        #: The last headers that were found harmless: a client repeats its own.
        self._headers = b""
        self._has_gzip = False
        #: Lets the viewing forget this connection; set while an answer is awaited or on its way.
        self._forget: Callable[[], None] | None = None
        self._held = b""
        self._ready: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._left_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Paused shall mean that something is left to send, not that much is.
        cast(asyncio.WriteTransport, transport).set_write_buffer_limits(0)

    def connection_lost(self, exc: BaseException | None) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.cancel()
        self._finish()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._forget is not None:
            self._hold(data)
        elif not (self._is_plain and self._answer(data)):
            super().data_received(data)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._timer is not None:
            self._go_on()

    def _answer(self, data: bytes) -> bool:
        """Answers a request that came alone and whole; False leaves it to aiohttp."""
        self._is_plain = self._is_plain_head(data)
        match = _GET.match(data)
        if not self._is_plain or match is None:
            return False
        waiter = self._waiter
        if waiter is None or waiter.done() or self._messages:
            return False
        secret, camera, name, query = [group.decode() for group in match.groups(b"")]
        viewer = self._find_viewer(secret, camera)
        if viewer is None:
            return False
        try:
            answer = self._find_answer(viewer, name, query, gzip=self._has_gzip)
        except CamrelayError:
            return False
        if isinstance(answer, Content):
            self._send(answer, viewer)
        else:
            self._await(answer, viewer, data)
        return True

    def _is_plain_head(self, data: bytes) -> bool:
        """Whether this is exactly one request head, with nothing that could change its meaning."""
        if data.find(b"\r\n\r\n") != len(data) - 4:
            return False
        headers = data[data.find(b"\n") :]
        if headers == self._headers:
            return True
        lowered = headers.lower()
        if lowered.count(b"\nhost:") != 1 or _UNUSUAL.search(lowered) is not None:
            return False
        self._headers = headers
        self._has_gzip = _GZIP.search(lowered) is not None
        return True

    def _await(self, answer: Pending, viewer: Viewer, data: bytes) -> None:
        self._ready = answer.ready
        self._forget = viewer.on_end(lambda _: model.void(answer.ready.cancel()))
        self._next_keepalive_close_time = self._loop.time() + _WAITING_S
        answer.ready.add_done_callback(partial(self._settle, answer, viewer, data))

    def _settle(self, answer: Pending, viewer: Viewer, data: bytes, ready: asyncio.Future[None]) -> None:
        if self._ready is not ready:
            return  # the client is gone
        self._ready = None
        self._finish()
        try:
            ready.result()
            content = answer.content()
        except (CamrelayError, asyncio.CancelledError):
            # aiohttp's way meets the same reason again, and has the words for it.
            super().data_received(data)
        else:
            self._send(content, viewer)
        if self._forget is None:
            self._go_on()

    def _send(self, content: Content, viewer: Viewer) -> None:
        transport = self.transport
        assert transport is not None
        transport.writelines((content.head + date_line() + b"\r\n", *content.body))
        viewer.bytes_sent += content.size
        now = self._loop.time()
        self._next_keepalive_close_time = now + self.keepalive_timeout
        if self.writing_paused:
            self._forget = viewer.on_end(lambda _: transport.abort())
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
        """Ends what was under way, and turns to what came meanwhile."""
        self._finish()
        held, self._held = self._held, b""
        if held:
            self.data_received(held)

    def _finish(self) -> None:
        if self._forget is not None:
            self._forget()
            self._forget = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


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
