"""Tests of camrelay.fanout.hls.express: same answers as aiohttp's way, and never both at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from builders import make_au
from camrelay import config, metrics
from camrelay.fanout.hls import express, parser, response
from camrelay.fanout.hls.response import content
from camrelay.fanout.hls.waiting import Pending, WaitingRoom
from camrelay.model import EndReason
from fanout.hls.serving import CAMERA, Served, serve

HUGE = content("video/mp4", (bytes(8_000_000), bytes(8_000_000)))
GET_HUGE = f"GET /m/s/{CAMERA}/main/huge HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve(is_express=True) as running:
        running.feed(pictures=50)
        running.feed(pictures=10)
        yield running


class Connection:
    """A client that says exactly what the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, path: str, *headers: str, method: str = "GET", version: str = "1.1") -> None:
        lines = [f"{method} /m/secret/{CAMERA}/{path} HTTP/{version}", "Host: x", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode())

    async def answer(self) -> tuple[str, bytes]:
        """The next answer: head and body."""
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            return head, await self.reader.readexactly(length)

    async def ask(self, path: str, *headers: str) -> tuple[str, bytes]:
        self.send(path, *headers)
        return await self.answer()

    async def is_closed(self) -> bool:
        async with asyncio.timeout(5):
            try:
                return await self.reader.read(1) == b""
            except ConnectionResetError:
                return True


@asynccontextmanager
async def connected(served: Served) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection(*served.address)
    try:
        # The connection's task has to be there before the short way is open.
        await asyncio.sleep(0.01)
        yield Connection(reader, writer)
    finally:
        writer.close()


async def until(condition) -> None:  # type: ignore[no-untyped-def]
    """Returns when the condition holds, of which nobody tells."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the server's side has no event
            await asyncio.sleep(0.001)


def playlist_of(served: Served) -> parser.MediaPlaylist:
    answer = served.server.find(served.viewer, b"main/stream.m3u8", gzip=False)
    assert isinstance(answer, response.Content)
    return parser.parse_media(answer.body[0].decode())


def reload_path(served: Served, ahead: int = 0) -> str:
    """Of the playlist with its next part, or the one that many parts later."""
    playlist = playlist_of(served)
    part = len(playlist.segments[-1].parts) + ahead
    return f"main/stream.m3u8?_HLS_msn={playlist.last_msn}&_HLS_part={part}"


def feed_part(served: Served) -> None:
    """Five pictures: one more part."""
    served.feed([make_au(served.dts + i * 3600) for i in range(5)])
    served.dts += 18_000


class TestShortWay:
    async def test_answers_like_the_ordinary_way(self, served: Served) -> None:
        """Same head but for nothing, same body, for playlist, segment, part and init section."""
        playlist = playlist_of(served)
        names = [playlist.segments[0].uri, playlist.segments[0].parts[0].uri, playlist.segments[0].map_uri]
        async with connected(served) as short, connected(served) as long:
            for path in ("main/stream.m3u8", *(f"main/{name}" for name in names)):
                served.is_known = True
                answer = await short.ask(path)
                assert served.ordinary == []
                served.is_known = False
                assert await long.ask(path) == answer
                served.ordinary.clear()
        assert served.viewer.bytes_sent > 0

    async def test_compresses_for_who_accepts_it(self, served: Served) -> None:
        """Named, and not refused by weight."""
        async with connected(served) as connection:
            for accepted, is_gzip in (("gzip, deflate, br", True), ("br", False), ("br, gzip;q=0", False)):
                head, _ = await connection.ask("main/stream.m3u8", f"ACCEPT-ENCODING: {accepted}")
                assert ("Content-Encoding: gzip" in head) is is_gzip
        assert served.ordinary == []

    async def test_waits_for_the_next_part(self, served: Served) -> None:
        """Blocked reload and hinted part are answered when the part is there."""
        hint = f"main/{playlist_of(served).hints[0].uri}"
        async with connected(served) as reloading, connected(served) as loading:
            reloading.send(reload_path(served))
            loading.send(hint)
            await until(lambda: served.server.waiting(CAMERA) == 2)

            feed_part(served)

            _, playlist = await reloading.answer()
            _, part = await loading.answer()
            assert f"main/{parser.parse_media(playlist.decode()).segments[-1].parts[-1].uri}" == hint
            assert part[4:8] == b"moof"
            await reloading.ask("main/stream.m3u8")
        assert served.ordinary == []

    async def test_releases_many_in_groups(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        """More waiters than one group: all are answered by the same part."""
        monkeypatch.setattr("camrelay.fanout.hls.release._AT_ONCE", 3)
        path = reload_path(served)
        connections = [await asyncio.open_connection(*served.address) for _ in range(10)]
        await asyncio.sleep(0.01)
        clients = [Connection(*connection) for connection in connections]
        for client in clients:
            client.send(path)
        await until(lambda: served.server.waiting(CAMERA) == 10)

        feed_part(served)

        assert len({await client.answer() for client in clients}) == 1
        for client in clients:
            client.writer.close()

    async def test_keeps_a_connection_that_is_in_use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The keep-alive time counts from the last answer, and a request that waits is use."""
        monkeypatch.setattr(express, "_WAITING_S", 3.0)
        async with serve(is_express=True, keepalive_s=1.0) as served:
            served.feed()
            async with connected(served) as connection:
                for _ in range(4):
                    await connection.ask("main/stream.m3u8")
                    await asyncio.sleep(0.3)
                connection.send(reload_path(served))
                await asyncio.sleep(1.2)
                feed_part(served)
                await connection.answer()
                assert await connection.is_closed()
            assert served.ordinary == []


class TestOrdinaryWay:
    async def test_of_who_is_not_known(self, served: Served) -> None:
        """The gate decides about first requests."""
        served.is_known = False
        async with connected(served) as connection:
            head, _ = await connection.ask("main/stream.m3u8")
            assert head.startswith("HTTP/1.1 200")
            served.is_known = True
            await connection.ask("main/stream.m3u8")
        assert len(served.ordinary) == 1

    async def test_of_errors(self, served: Served) -> None:
        """The words for an error exist once."""
        async with connected(served) as connection:
            for path in ("main/no.m4s", "main/stream.m3u8?_HLS_part=1"):
                head, _ = await connection.ask(path)
                assert head.startswith("HTTP/1.1 418")
            head, _ = await connection.ask("main/stream.m3u8")
            assert head.startswith("HTTP/1.1 200")
        assert len(served.ordinary) == 2

    async def test_of_other_requests(self, served: Served) -> None:
        """Other paths and methods; the connection stays good for the short way."""
        async with connected(served) as connection:
            head, _ = await connection.ask("index.m3u8")
            assert head.startswith("HTTP/1.1 200")
            connection.send("main/stream.m3u8", method="HEAD")
            async with asyncio.timeout(5):
                await connection.reader.readuntil(b"\r\n\r\n")
            await connection.ask("main/stream.m3u8")
        assert len(served.ordinary) == 2

    @pytest.mark.parametrize(
        "header",
        [
            "Content-Length: 0",
            "content-length : 0",
            "Transfer-Encoding: identity",
            "Expect: x",
            "Upgrade: h2c",
        ],
    )
    async def test_of_headers_that_change_what_follows(self, served: Served, header: str) -> None:
        """Once such a header came, this connection is aiohttp's for good."""
        async with connected(served) as connection:
            connection.send("main/stream.m3u8", header)
            async with asyncio.timeout(5):
                head = await connection.reader.readuntil(b"\r\n")
        assert served.ordinary or head.startswith(b"HTTP/1.1 4") or head.startswith(b"HTTP/1.0 4")

    async def test_of_who_wants_the_connection_closed(self, served: Served) -> None:
        """Connection: close is obeyed, keep-alive is nothing special."""
        async with connected(served) as connection:
            await connection.ask("main/stream.m3u8", "Connection: keep-alive")
            assert served.ordinary == []
            head, _ = await connection.ask("main/stream.m3u8", "Connection: close")
            assert "Connection: close" in head
            assert await connection.is_closed()
        assert len(served.ordinary) == 1

    @pytest.mark.parametrize("hosts", ["", "Host: x\r\nHost: y\r\n"])
    async def test_of_a_head_without_one_host(self, served: Served, hosts: str) -> None:
        """RFC 9112 §3.2: refused, and not by us."""
        async with connected(served) as connection:
            connection.writer.write(
                f"GET /m/secret/{CAMERA}/main/stream.m3u8 HTTP/1.1\r\n{hosts}\r\n".encode()
            )
            head, _ = await connection.answer()
        assert " 400 " in head

    async def test_of_a_head_in_pieces(self, served: Served) -> None:
        """What looks like a request may be the middle of one: after a piece, never again the short way."""
        async with connected(served) as connection:
            connection.writer.write(b"GET /m/secret/x/main/y HTTP/1.1\r\nX-Trick: ")
            await asyncio.sleep(0.05)
            head, _ = await connection.ask("main/stream.m3u8")
            assert head.startswith("HTTP/1.1 418")
            await connection.ask("main/stream.m3u8")
        assert len(served.ordinary) == 2

    async def test_of_pipelined_requests(self, served: Served) -> None:
        """Two heads at once are answered in order."""
        async with connected(served) as connection:
            connection.send("main/stream.m3u8")
            connection.send("main/no.m4s")
            first, _ = await connection.answer()
            second, _ = await connection.answer()
        assert first.startswith("HTTP/1.1 200")
        assert second.startswith("HTTP/1.1 418")

    async def test_of_a_request_while_aiohttp_is_busy(self, served: Served) -> None:
        """A request that comes while another is answered waits its turn."""
        served.is_known = False
        async with connected(served) as connection:
            connection.send(reload_path(served))
            await until(lambda: served.server.waiting(CAMERA) == 1)
            served.is_known = True
            connection.send("main/no.m4s")
            await asyncio.sleep(0.02)
            feed_part(served)
            first, _ = await connection.answer()
            second, _ = await connection.answer()
        assert first.startswith("HTTP/1.1 200")
        assert second.startswith("HTTP/1.1 418")


class TestWaiting:
    async def test_ends_with_the_viewing(self, served: Served) -> None:
        """Revoked while waiting: answered at once, with the words of the ordinary way."""
        async with connected(served) as connection:
            connection.send(reload_path(served))
            await until(lambda: served.server.waiting(CAMERA) == 1)

            served.is_known = False
            served.viewer.end(EndReason.REVOKED)

            head, body = await connection.answer()
            assert head.startswith("HTTP/1.1 418")
            assert body == b"SessionEnded"

    async def test_ends_with_the_client(self, served: Served) -> None:
        """Neither window nor viewing remember a client that went away."""
        async with connected(served) as connection:
            connection.send(reload_path(served))
            await until(lambda: served.server.waiting(CAMERA) == 1)

        await until(lambda: served.server.waiting(CAMERA) == 0)
        assert not served.viewer._callbacks

    async def test_ends_with_the_camera(self, served: Served) -> None:
        """Removed while somebody waits: not found."""
        async with connected(served) as connection:
            connection.send(reload_path(served))
            await until(lambda: served.server.waiting(CAMERA) == 1)

            served.server.detach(CAMERA)

            _, body = await connection.answer()
            assert body == b"NotFound"

    async def test_a_hint_that_becomes_a_gap_is_not_found(self) -> None:
        """The wait was in vain, and the ordinary way says so."""
        options = config.Hls(part_ms=100, target_duration_s=1, segment_s=1.0)
        async with serve(options, is_express=True) as served:
            served.feed()
            async with connected(served) as connection:
                _, body = await connection.ask(f"main/{playlist_of(served).hints[0].uri}")
            assert body == b"NotFound"

    async def test_holds_back_what_comes_meanwhile(self, served: Served) -> None:
        """The next request is looked at when the first is answered."""
        async with connected(served) as connection:
            connection.send(reload_path(served))
            await until(lambda: served.server.waiting(CAMERA) == 1)
            connection.send("main/stream.m3u8")
            await asyncio.sleep(0.02)

            feed_part(served)

            assert await connection.answer() == await connection.answer()
        assert served.ordinary == []

    async def test_holds_back_what_comes_before_an_error(self, served: Served) -> None:
        """Also when the first turns out to be an error, answers keep their order."""
        async with connected(served) as connection:
            connection.send(reload_path(served))
            await until(lambda: served.server.waiting(CAMERA) == 1)
            connection.send("main/no.m4s")
            await asyncio.sleep(0.02)

            served.is_known = False
            served.viewer.end(EndReason.EXPIRED)

            assert (await connection.answer())[1] == b"SessionEnded"
            assert (await connection.answer())[1] == b"NotFound"

    async def test_holds_back_only_so_much(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client that sends and sends while it waits is cut."""
        monkeypatch.setattr(express, "_MAX_HELD_BYTES", 100)
        async with connected(served) as connection:
            connection.send(reload_path(served))
            await until(lambda: served.server.waiting(CAMERA) == 1)
            connection.send("main/stream.m3u8", "X-Long: " + "x" * 200)
            assert await connection.is_closed()
        await until(lambda: served.server.waiting(CAMERA) == 0)


class TestSlowReaders:
    @pytest.fixture
    async def huge(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
        """What is found is more than any socket buffer takes at once."""
        monkeypatch.setattr(served.server, "find", lambda *args, **options: HUGE)
        return served

    @asynccontextmanager
    async def slow(self, served: Served, buffer_bytes: int = 4096) -> AsyncIterator[socket.socket]:
        """A connection that asked for a lot and reads only when told to."""
        async with serve_huge(served) as address:
            loop = asyncio.get_running_loop()
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                await asyncio.sleep(0.01)
                await loop.sock_sendall(
                    sock, f"GET /m/s/{CAMERA}/main/huge HTTP/1.1\r\nHost: x\r\n\r\n".encode()
                )
                await until(lambda: served.viewer.bytes_sent)
                yield sock

    async def test_are_cut_when_they_take_nothing(
        self, huge: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No progress for STALL_S: counted, and the connection ends."""
        monkeypatch.setattr(response, "STALL_S", 0.05)
        before = lagged(huge)
        async with self.slow(huge) as sock:
            await until(lambda: lagged(huge) > before)
            assert await rest(sock) < HUGE.size

    async def test_are_cut_when_they_take_too_long(
        self, huge: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Progress alone is not enough: a body must leave within BODY_S."""
        monkeypatch.setattr(response, "STALL_S", 0.05)
        monkeypatch.setattr(response, "BODY_S", 0.2)
        before = lagged(huge)
        loop = asyncio.get_running_loop()
        async with self.slow(huge) as sock, asyncio.timeout(5):
            while lagged(huge) == before:
                await loop.sock_recv(sock, 65_536)
                await asyncio.sleep(0.005)

    async def test_are_left_alone_when_they_make_it(
        self, huge: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And then the connection goes on, with what was held back meanwhile."""
        monkeypatch.setattr(response, "STALL_S", 0.05)
        loop = asyncio.get_running_loop()
        count = 0
        async with self.slow(huge, 1 << 20) as sock, asyncio.timeout(10):
            await loop.sock_sendall(sock, GET_HUGE)
            while count < 2 * HUGE.size:
                count += len(await loop.sock_recv(sock, 1 << 20))
                if count < HUGE.size:
                    await asyncio.sleep(0.005)
        assert huge.viewer.bytes_sent == 2 * HUGE.size

    async def test_may_have_waited_before(self, huge: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        """A large answer that had to be waited for is no other than one that was there."""
        pending = Pending(WaitingRoom(9), lambda: True, lambda: HUGE, deadline=0)
        monkeypatch.setattr(huge.server, "find", lambda *args, **options: pending)
        asyncio.get_running_loop().call_later(0.05, pending.tell, HUGE, 9)
        async with self.slow(huge) as sock:
            huge.viewer.end(EndReason.REVOKED)
            assert await rest(sock) < HUGE.size

    async def test_are_cut_when_the_viewing_ends(self, huge: Served) -> None:
        """Revoked while a body is on its way: the connection ends in the same tick."""
        async with self.slow(huge) as sock:
            huge.viewer.end(EndReason.REVOKED)
            assert await rest(sock) < HUGE.size

    async def test_are_forgotten_when_they_go(self, huge: Served) -> None:
        """No timer, no callback of the viewing stays behind."""
        async with self.slow(huge):
            assert huge.viewer._callbacks

        await until(lambda: not huge.viewer._callbacks)


@asynccontextmanager
async def serve_huge(served: Served) -> AsyncIterator[tuple[str, int]]:
    """Another listener for the same camera, whose answers are looked up anew each time."""
    runner = express.ExpressRunner(
        web.Application(),
        lambda secret, camera: served.viewer,
        lambda *args, **options: served.server.find(*args, **options),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=1,
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0]
    finally:
        await runner.cleanup()


def lagged(served: Served) -> float:
    labels = {"camera": served.viewer.camera, "protocol": "hls"}
    return metrics.REGISTRY.get_sample_value("camrelay_viewer_lagged_total", labels) or 0


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


async def test_a_runner_that_is_not_set_up_has_no_server() -> None:
    """As with aiohttp's own."""
    runner = express.ExpressRunner(web.Application(), lambda *a: None, lambda *a, **b: HUGE)
    assert runner.server is None
