"""A player's connections, in front of a server that hangs up when it likes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from benchmarks.llhls.http1 import Broken
from benchmarks.llhls.session import Session

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def serve(answers: int) -> AsyncIterator[tuple[Session, list[int]]]:
    """A session with a server whose connections answer so many requests and hang up at the next.

    And how many each of them answered.
    """
    answered: list[int] = []
    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered.append(0)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            for _ in range(answers):
                await reader.readuntil(b"\r\n\r\n")
                answered[-1] += 1
                writer.write(ANSWER)
            await reader.readuntil(b"\r\n\r\n")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.create_task(talk(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        session = Session(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        yield session, answered
        session.close()
        await asyncio.gather(*talks)


async def test_a_connection_that_was_just_closed_is_opened_again() -> None:
    """The server saw no request, so it is asked once more (RFC 9112 §9.3.1)."""
    async with serve(1) as (session, answered):
        bodies = [(await session.get(session.media, "/x")).content() for _ in range(3)]

    assert bodies == [b"ok"] * 3
    assert answered == [1, 1, 1]


async def test_a_new_connection_that_is_closed_is_an_error() -> None:
    """Nobody is asked for ever."""
    async with serve(0) as (session, answered):
        with pytest.raises(Broken):
            await session.get(session.media, "/x")

    assert answered == [0]
