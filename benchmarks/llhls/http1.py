"""As much HTTP/1.1 as a crowd of players needs, at a few microseconds per request.

GET only, one request at a time on a connection that is kept open. Bodies nobody will look at are counted and
not kept: every connection reads into one scratch buffer. Both framings are understood, Content-Length and
chunked (RFC 9112 §6).
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from typing import NamedTuple, cast

#: More than this of a header or a kept body is not what a player asked for.
_HEADER_LIMIT = 4_096
_BODY_LIMIT = 8_388_608

#: One read takes at most this much; of all connections, for one is read at a time.
_SCRATCH = memoryview(bytearray(262_144))

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_GZIP = re.compile(rb"\r\ncontent-encoding: *gzip", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Broken(Exception):
    """The connection ended, or what came is no HTTP response."""


class Response(NamedTuple):
    """`head` is the status line with the header fields; `body` is b"" when it was only counted."""

    status: int
    head: bytes
    body: bytes
    body_bytes: int

    def field(self, name: str) -> str:
        """The last value of a header field, "" when there is none."""
        found = re.findall(rb"\r\n" + name.encode() + rb": *([^\r\n]*)", self.head, re.IGNORECASE)
        return found[-1].decode("latin-1") if found else ""

    def content(self) -> bytes:
        """The body, unpacked when it came packed."""
        if not _GZIP.search(self.head):
            return self.body
        return zlib.decompressobj(wbits=31).decompress(self.body, _BODY_LIMIT)


class Connection(asyncio.BufferedProtocol):
    """One connection; `get` opens it again when it was closed.

    `body_at` is when a byte of a body with status 200 last came, whole or not, on the monotonic clock; 0
    before.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._host = f"{host}:{port}".encode()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._keep = False
        self.body_at = 0.0
        self._reset()

    def _reset(self) -> None:
        self._head = b""
        self._is_good = False
        self._pending = b""
        self._body = bytearray()
        self._body_bytes = 0
        #: Bytes to come of the body, or of a chunk with its line end; 0 while a header or size is read.
        self._left = 0
        self._is_chunked = False
        self._is_last_chunk = False

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as is known."""
        return self._transport is not None

    async def open(self) -> None:
        """Connects, if it is not connected.

        Raises:
            Broken: nobody listens.
        """
        if self._transport is None:
            try:
                await asyncio.get_running_loop().create_connection(lambda: self, *self._address)
            except OSError as error:
                raise Broken(type(error).__name__) from None

    def get(self, path: str, *, keep: bool = True, fields: bytes = b"") -> asyncio.Future[Response]:
        """Sends a request on an open connection with none under way.

        Args:
            keep: whether the body is wanted, or only its length.
            fields: further header fields, each with its line end.

        Returns:
            A future that fails with Broken.
        """
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        self._keep = keep
        if self._transport is None:
            waiter.set_exception(Broken("closed"))
        else:
            self._transport.write(
                b"GET %b HTTP/1.1\r\nHost: %b\r\nAccept-Encoding: gzip\r\n%b\r\n"
                % (path.encode(), self._host, fields)
            )
        return waiter

    def close(self) -> None:
        """Hangs up; a response under way never comes."""
        if self._waiter is not None:
            self._waiter.cancel()
            self._waiter = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail("closed")
        self._reset()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _SCRATCH

    def buffer_updated(self, nbytes: int) -> None:
        # The body of a media request, the bulk of all reads: counted, and nothing else.
        if 0 < nbytes < self._left and not self._keep:
            self._count(nbytes)
            return
        try:
            self._feed(_SCRATCH[:nbytes])
        except Broken as error:
            self._fail(str(error))
            self.close()

    def _feed(self, data: memoryview) -> None:
        """Takes what was read: a header, the rest of a body, chunks, in any mixture."""
        position = 0
        end = len(data)
        while position < end:
            if not self._left:
                position += self._read_line(data[position:])
                continue
            taken = min(self._left, end - position)
            if self._keep:
                self._body += data[position : position + taken]
                if len(self._body) > _BODY_LIMIT:
                    raise Broken("body too long")
            self._count(taken)
            position += taken
            if not self._left:
                self._end_section()

    def _count(self, length: int) -> None:
        self._left -= length
        self._body_bytes += length
        if self._is_good:
            self.body_at = time.monotonic()

    def _read_line(self, data: memoryview) -> int:
        """Reads on in a header, or in the line before a chunk; returns how many bytes of `data` it used."""
        before = len(self._pending)
        text = self._pending + bytes(data[:_HEADER_LIMIT])
        mark = b"\r\n" if self._is_chunked else b"\r\n\r\n"
        end = text.find(mark)
        if end < 0:
            if len(text) >= _HEADER_LIMIT:
                raise Broken("header too long")
            self._pending = text
            return len(text) - before
        self._pending = b""
        if self._is_chunked:
            self._open_chunk(text[:end])
        else:
            self._open_body(text[:end])
        return end + len(mark) - before

    def _open_body(self, head: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 ") or not head[9:12].isdigit():
            raise Broken("no HTTP/1.1")
        self._head = head
        self._is_good = head[9:12] == b"200"
        length = _LENGTH.search(head)
        if length:
            self._left = int(length[1])
        self._is_chunked = not length and _CHUNKED.search(head) is not None
        if not self._left and not self._is_chunked:
            self._complete()

    def _open_chunk(self, line: bytes) -> None:
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError:
            raise Broken("bad chunk") from None
        # Its line end, or the empty line after the last one: no server here sends trailers.
        self._left = size + 2
        self._is_last_chunk = size == 0

    def _end_section(self) -> None:
        if self._is_chunked:
            self._body_bytes -= 2
            del self._body[-2:]
            if not self._is_last_chunk:
                return
        self._complete()

    def _complete(self) -> None:
        response = Response(int(self._head[9:12]), self._head, bytes(self._body), self._body_bytes)
        self._reset()
        waiter, self._waiter = self._waiter, None
        if _CLOSE.search(response.head):
            self.close()
        if waiter is not None and not waiter.done():
            waiter.set_result(response)

    def _fail(self, reason: str) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(Broken(reason))
