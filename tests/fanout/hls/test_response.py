"""Tests of camrelay.fanout.hls.response, byte for byte over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from camrelay import metrics
from camrelay.fanout.hls import response
from camrelay.fanout.hls.response import ReadyResponse, content
from camrelay.model import EndReason, Viewer
from fanout.hls.serving import make_viewer

SMALL = content("text/plain", (b"hel", b"lo"), "Cache-Control: private, no-store")
#: More than any socket buffer takes at once.
HUGE = content("video/mp4", (bytes(8_000_000), bytes(8_000_000)))

#: A request after which the server ends the connection.
LAST = "GET / HTTP/1.1\nHost: x\nConnection: close"


class Server:
    """Answers every request with `answer`."""

    def __init__(self) -> None:
        self.answer = SMALL
        self.viewer = make_viewer()
        self.connections = 0
        self.address = ("", 0)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return ReadyResponse(self.answer, self.viewer)

    async def ask(self, *requests: str) -> bytes:
        """Sends requests at once, returns all that comes back until the server ends the connection."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write("".join(f"{request}\n\n" for request in requests).replace("\n", "\r\n").encode())
        try:
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()

    @asynccontextmanager
    async def slow_reader(self, buffer_bytes: int = 4096) -> AsyncIterator[socket.socket]:
        """A connection that asked and reads only when told to."""
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            sock.setblocking(False)
            await loop.sock_connect(sock, self.address)
            await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            yield sock


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    running = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", running.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running.address = runner.addresses[0]
    yield running
    await runner.cleanup()


def lagged(viewer: Viewer) -> float:
    labels = {"camera": viewer.camera, "protocol": "hls"}
    return metrics.REGISTRY.get_sample_value("camrelay_viewer_lagged_total", labels) or 0


async def until(condition: Callable[[], object]) -> None:
    """Returns when the condition holds, of which nobody tells."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a socket's other side has no event
            await asyncio.sleep(0.001)


async def rest(sock: socket.socket) -> int:
    """Reads until the other side ends the connection; how many bytes came."""
    loop = asyncio.get_running_loop()
    count = 0
    async with asyncio.timeout(5):
        try:
            while data := await loop.sock_recv(sock, 1 << 20):
                count += len(data)
        except ConnectionResetError:
            pass
    return count


class TestReadyResponse:
    async def test_answers_with_head_and_body(self, server: Server) -> None:
        """Exactly the prepared head, a date, and the body in order; and counts the body."""
        answer = await server.ask(LAST)

        head, body = answer.split(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[:6] == [
            "HTTP/1.1 200 OK",
            "Content-Type: text/plain",
            "Content-Length: 5",
            "Access-Control-Allow-Origin: *",
            "X-Content-Type-Options: nosniff",
            "Cache-Control: private, no-store",
        ]
        assert lines[6].startswith("Date: ")
        assert lines[6].endswith(" GMT")
        assert lines[7:] == ["Connection: close"]
        assert body == b"hello"
        assert server.viewer.bytes_sent == 5

    async def test_head_has_no_body(self, server: Server) -> None:
        """The length is that of the body GET would send; nothing is counted."""
        answer = await server.ask("HEAD / HTTP/1.1\nHost: x\nConnection: close")

        assert b"Content-Length: 5" in answer
        assert answer.endswith(b"\r\n\r\n")
        assert server.viewer.bytes_sent == 0

    async def test_a_connection_serves_many_requests(self, server: Server) -> None:
        """Pipelined requests are answered in order on one connection."""
        answer = await server.ask("GET / HTTP/1.1\nHost: x", "GET / HTTP/1.1\nHost: x", LAST)

        assert answer.count(b"\r\n\r\nhello") == 3
        assert answer.count(b"Connection: close") == 1

    async def test_an_old_client_gets_one_answer_and_the_end(self, server: Server) -> None:
        """HTTP/1.0 does not know that connections stay."""
        answer = await server.ask("GET / HTTP/1.0\nConnection: keep-alive", LAST)

        assert answer.count(b"hello") == 1
        assert b"Connection: close\r\n" in answer

    async def test_large_bodies_arrive_whole(self, server: Server) -> None:
        """Pieces that are not joined, more than the kernel takes at once."""
        server.answer = HUGE

        answer = await server.ask(LAST)

        assert len(answer.split(b"\r\n\r\n", 1)[1]) == HUGE.size

    async def test_the_date_is_the_present(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """Formatted anew when the second changes."""
        monkeypatch.setattr(response.time, "time", lambda: 1_000_000_000.9)
        assert b"Date: Sun, 09 Sep 2001 01:46:40 GMT\r\n" in await server.ask(LAST)
        monkeypatch.setattr(response.time, "time", lambda: 1_000_000_001.0)
        assert b"Date: Sun, 09 Sep 2001 01:46:41 GMT\r\n" in await server.ask(LAST)


class TestSlowReaders:
    async def test_a_reader_that_takes_nothing_is_cut(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No progress for STALL_S: the connection ends, and is counted."""
        monkeypatch.setattr(response, "STALL_S", 0.05)
        server.answer = HUGE
        before = lagged(server.viewer)

        async with server.slow_reader() as sock:
            await until(lambda: lagged(server.viewer) > before)
            assert await rest(sock) < HUGE.size

    async def test_a_reader_that_is_slow_is_cut_in_the_end(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Progress alone is not enough: a body must leave within BODY_S."""
        monkeypatch.setattr(response, "STALL_S", 0.05)
        monkeypatch.setattr(response, "BODY_S", 0.2)
        server.answer = HUGE
        before = lagged(server.viewer)
        loop = asyncio.get_running_loop()

        async with server.slow_reader() as sock, asyncio.timeout(5):
            while lagged(server.viewer) == before:
                await loop.sock_recv(sock, 65_536)
                await asyncio.sleep(0.005)

    async def test_a_slow_reader_that_makes_it_is_left_alone(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Slower than STALL_S in all, but never without progress."""
        monkeypatch.setattr(response, "STALL_S", 0.05)
        server.answer = HUGE
        loop = asyncio.get_running_loop()
        count = 0

        async with server.slow_reader(1 << 20) as sock, asyncio.timeout(10):
            while count < HUGE.size:
                count += len(await loop.sock_recv(sock, 1 << 20))
                await asyncio.sleep(0.005)

        assert count > HUGE.size

    async def test_the_end_of_the_viewing_cuts_what_is_on_its_way(self, server: Server) -> None:
        """Revoked while a body is being sent: the connection ends in the same tick."""
        server.answer = HUGE

        async with server.slow_reader() as sock:
            await until(lambda: server.viewer.bytes_sent)
            server.viewer.end(EndReason.REVOKED)
            assert await rest(sock) < HUGE.size

    async def test_a_client_that_goes_away_leaves_nothing_behind(self, server: Server) -> None:
        """Its handler ends, and the viewing forgets it."""
        server.answer = HUGE
        async with server.slow_reader():
            await until(lambda: server.viewer.bytes_sent)

        await until(lambda: not server.viewer._callbacks)


def test_content_counts_its_body() -> None:
    """Length and pieces agree."""
    made = content("a/b", (b"12", b"345"))
    assert made.head == (
        b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n"
        b"Access-Control-Allow-Origin: *\r\nX-Content-Type-Options: nosniff\r\n"
    )
    assert made.body == (b"12", b"345")
    assert made.size == 5
