"""The small HTTP client, against a server that plays every framing there is."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from collections.abc import AsyncIterator

import pytest

from benchmarks.llhls.http1 import Broken, Connection, Response

BODY = bytes(range(256)) * 8

ANSWERS = {
    "/length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-A: 1\r\n\r\n%b" % (len(BODY), BODY),
    "/empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/zero": b"HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n",
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (BODY[:7], BODY[7:1900], BODY[1900:]))
    + b"0\r\n\r\n",
    "/gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    % (len(gzip.compress(BODY)), gzip.compress(BODY)),
    "/close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    "/cut": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\ncut",
    "/gone": b"HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone",
    "/rubbish": b"what?\r\n\r\n",
    "/badchunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "/endless": b"x" * 10_000,
}


@pytest.fixture(params=[1_000_000, 1000, 1], ids=["whole", "pieces", "bytewise"])
async def connection(request: pytest.FixtureRequest) -> AsyncIterator[Connection]:
    """Connected to a server that sends its answers in pieces of some size."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while line := await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            answer = ANSWERS[line.split()[1].decode()]
            for start in range(0, len(answer), request.param):
                writer.write(answer[start : start + request.param])
                await asyncio.sleep(0)
            if b"close" in answer:
                writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made = Connection(*server.sockets[0].getsockname()[:2])
    yield made
    made.close()
    server.close()
    for writer in writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(connection: Connection, path: str, *, keep: bool = True) -> Response:
    await connection.open()
    return await asyncio.wait_for(connection.get(path, keep=keep), 10)


async def test_bodies_of_either_framing_come_whole(connection: Connection) -> None:
    """One after the other on one connection, kept or only counted."""
    for path in ("/length", "/chunked", "/length", "/chunked"):
        kept = await ask(connection, path)
        assert (kept.status, kept.body, kept.body_bytes) == (200, BODY, len(BODY))
        counted = await ask(connection, path, keep=False)
        assert (counted.body, counted.body_bytes) == (b"", len(BODY))


async def test_responses_without_a_body(connection: Connection) -> None:
    """Complete with their header."""
    assert (await ask(connection, "/empty")).status == 204
    assert (await ask(connection, "/zero")).status == 404


async def test_fields_and_packed_content(connection: Connection) -> None:
    """A header field by name, whatever its case; gzip undone on demand."""
    assert (await ask(connection, "/length")).field("x-a") == "1"
    assert (await ask(connection, "/gzip")).content() == BODY


async def test_a_connection_the_server_closes_is_opened_again(connection: Connection) -> None:
    """After `Connection: close` the next request works."""
    assert (await ask(connection, "/close")).body == b"ok"
    assert (await ask(connection, "/length")).body == BODY


@pytest.mark.parametrize("path", ["/rubbish", "/badchunk", "/endless"])
async def test_what_is_no_response_breaks_the_connection(connection: Connection, path: str) -> None:
    """And the waiting request learns it."""
    with pytest.raises(Broken):
        await ask(connection, path)


async def test_nobody_listens() -> None:
    """Broken, not an OSError."""
    with pytest.raises(Broken):
        await Connection("127.0.0.1", 1).open()


async def test_the_last_byte_of_a_good_body_is_timed_and_of_no_other(connection: Connection) -> None:
    """A body that is cut counts as far as it came; the body of a refusal does not count."""
    began = time.monotonic()
    await connection.open()
    assert (await connection.get("/gone", keep=False)).body_bytes == 4
    assert connection.body_at == 0
    with pytest.raises(Broken):
        await connection.get("/cut", keep=False)
    cut_at = connection.body_at
    assert began < cut_at < time.monotonic()
    await connection.open()
    await connection.get("/gone", keep=False)
    assert connection.body_at == cut_at
