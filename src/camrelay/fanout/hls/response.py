"""HTTP responses whose bytes are ready: made once, shared by every request for them, written in one call.

An ordinary aiohttp response makes, encodes and joins its headers for every request, which costs more than
sending a part does. These are ordinary responses to aiohttp all the same: a handler returns them.

Slow readers cost themselves only: nothing is taken from a connection until its last response has left for the
kernel, the body is shared bytes, and a reader that takes nothing for STALL_S or needs BODY_S is cut.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

from aiohttp import hdrs, web

from camrelay import metrics
from camrelay.errors import CamrelayError, SessionEnded
from camrelay.fanout.hls.waiting import Pending
from camrelay.model import EndReason, Protocol, Viewer

#: A player that takes no byte for this long has stalled by several PART-HOLD-BACKs and will not recover.
STALL_S = 10.0
#: A segment lasts a few seconds: who needs this long for one can never keep up.
BODY_S = 60.0
#: Up to here head and body are joined, which is cheaper than a second buffer; beyond, copying costs more.
_JOIN_BYTES = 16_384

_CLOSE = b"Connection: close\r\n\r\n"
_KEEP = b"\r\n"


class Content:
    """A response in bytes: status line with headers, each ended by CRLF, and the body in pieces."""

    __slots__ = ("_date", "_whole", "body", "head", "size")

    def __init__(self, head: bytes, body: tuple[bytes, ...]) -> None:
        self.head = head
        self.body = body
        self.size = sum(map(len, body))
        self._date = b""
        self._whole: tuple[bytes, ...] = ()

    def whole(self) -> tuple[bytes, ...]:
        """All of it with the date of this second, for a connection that stays."""
        date = date_line()
        if date is not self._date:
            self._date = date
            self._whole = (self.head + date + _KEEP, *self.body)
        return self._whole


def content(content_type: str, body: tuple[bytes, ...], *headers: str) -> Content:
    """A 200 answer. Media under a capability URL may be read from any origin: having the URL is the right."""
    lines = (
        "HTTP/1.1 200 OK",
        f"Content-Type: {content_type}",
        f"Content-Length: {sum(map(len, body))}",
        "Access-Control-Allow-Origin: *",
        "X-Content-Type-Options: nosniff",
        *headers,
        "",
    )
    return Content("\r\n".join(lines).encode(), body)


async def settled(answer: Content | Pending[Content], viewer: Viewer) -> Content:
    """The answer when it is there.

    Raises:
        SessionEnded: the viewing ended first.
        NotFound, StreamNotReady: there will be no answer.
        Overloaded: too many wait already.
    """
    if isinstance(answer, Content):
        return answer
    ready: asyncio.Future[Content] = asyncio.get_running_loop().create_future()

    def settle(result: Content | CamrelayError) -> None:
        if ready.done():
            return
        if isinstance(result, Content):
            ready.set_result(result)
        else:
            ready.set_exception(result)

    answer.join(settle)
    forget = viewer.on_end(lambda reason: settle(SessionEnded(reason)))
    try:
        return await ready
    finally:
        forget()
        answer.leave(settle)


class ReadyResponse(web.StreamResponse):
    """Answers with ready bytes and counts them for the viewer."""

    def __init__(self, answer: Content, viewer: Viewer) -> None:
        super().__init__()
        self._answer = answer
        self._viewer = viewer
        self._request: web.BaseRequest | None = None

    async def prepare(self, request: web.BaseRequest) -> None:
        """Remembers the request: the bytes go out in write_eof, all at once."""
        self._request = request
        # RFC 9112 §9.3: an HTTP/1.0 client would have to be told that the connection stays.
        self._keep_alive = request.keep_alive and request.version >= (1, 1)

    async def write_eof(self, data: bytes = b"") -> None:
        """Writes head and body, and returns when they have left for the kernel.

        Raises:
            ConnectionResetError: the client went away, or was cut.
        """
        request = self._request
        assert request is not None
        self._request = None
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("client gone")
        # No low tide: paused means that something is left, not paused that all of it is with the kernel.
        transport.set_write_buffer_limits(0)
        answer = self._answer
        head = answer.head + date_line() + (_KEEP if self._keep_alive else _CLOSE)
        if request.method == hdrs.METH_HEAD:
            transport.write(head)
        else:
            if answer.size <= _JOIN_BYTES:
                transport.write(b"".join((head, *answer.body)))
            else:
                transport.writelines((head, *answer.body))
            self._viewer.bytes_sent += answer.size
            self._body_length = answer.size
        if request.protocol.writing_paused:
            await _drained(request, transport, self._viewer)


async def _drained(request: web.BaseRequest, transport: asyncio.Transport, viewer: Viewer) -> None:
    """Waits until the reader has taken everything, or cuts it: too slow, or no longer entitled."""

    def cut(_: EndReason) -> None:
        transport.abort()

    forget = viewer.on_end(cut)
    drain = asyncio.ensure_future(request.writer.drain())
    deadline = time.monotonic() + BODY_S
    left = transport.get_write_buffer_size()
    try:
        while not (await asyncio.wait({drain}, timeout=STALL_S))[0]:
            still_left = transport.get_write_buffer_size()
            if still_left >= left or time.monotonic() > deadline:
                metrics.viewer_lagged.labels(viewer.camera, Protocol.HLS).inc()
                transport.abort()
                raise ConnectionResetError("client too slow")
            left = still_left
        await drain
    finally:
        forget()
        drain.cancel()


_cached_date = (0, b"")


def date_line() -> bytes:
    """The Date header (RFC 9110 §6.6.1), formatted once a second."""
    global _cached_date
    now = int(time.time())
    if _cached_date[0] != now:
        _cached_date = (now, f"Date: {formatdate(now, usegmt=True)}\r\n".encode())
    return _cached_date[1]
