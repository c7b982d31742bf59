"""A player's connections, in front of a server that hangs up when it likes."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from benchmarks.llhls.http1 import Broken
from benchmarks.llhls.session import Session

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def serve(answers: int) -> tuple[asyncio.Server, list[int]]:
    """A server whose connections answer so many requests and hang up at the next; and those it answered."""
    answered: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered.append(0)
        with contextlib.suppress(asyncio.IncompleteReadError):
            for _ in range(answers):
                await reader.readuntil(b"\r\n\r\n")
                answered[-1] += 1
                writer.write(ANSWER)
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0), answered


async def test_a_connection_that_was_just_closed_is_opened_again() -> None:
    """The server saw no request, so it is asked once more (RFC 9112 §9.3.1)."""
    server, answered = await serve(1)
    async with server:
        session = Session(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        bodies = [(await session.get(session.media, "/x")).content() for _ in range(3)]
        session.close()

    assert bodies == [b"ok"] * 3
    assert answered == [1, 1, 1]


async def test_a_new_connection_that_is_closed_is_an_error() -> None:
    """Nobody is asked for ever."""
    server, answered = await serve(0)
    async with server:
        session = Session(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        with pytest.raises(Broken):
            await session.get(session.media, "/x")
        session.close()

    assert answered == [0]
