"""Processes beside the relay."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from camrelay.ingest import process
from camrelay.ingest.process import NICENESS, Answering, Process

#: On however busy a machine.
PATIENCE_S = 30


@pytest.fixture(autouse=True)
def cat(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Takes the place of every module; ends when there is nothing more to read."""
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec cat\n")
    script.chmod(0o755)
    monkeypatch.setattr(process.sys, "executable", str(script))
    return script


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_its_end_is_noticed_and_leaves_nothing_behind() -> None:
    """Nobody has to ask for it, and no descriptor and no zombie stays."""
    before = descriptors()
    started = Process("x")

    await asyncio.wait_for(started.wait(), PATIENCE_S)

    assert descriptors() == before
    assert not Path(f"/proc/{started.pid}").exists()


async def test_one_that_ended_may_be_killed() -> None:
    """Whoever kills it need not know."""
    started = Process("x")
    await asyncio.wait_for(started.wait(), PATIENCE_S)

    started.kill()
    await started.wait()


async def test_one_that_cannot_start_says_so(cat: Path) -> None:
    """And leaves nothing behind either."""
    cat.unlink()
    before = descriptors()

    with pytest.raises(OSError, match="No such file"):
        Process("x")
    with pytest.raises(OSError, match="No such file"):
        await Answering.start("x")

    assert descriptors() == before


async def test_one_that_nobody_could_wait_for_does_not_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of descriptors, say."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()

    def refuse(pid: int) -> int:
        raise OSError("too many open files")

    monkeypatch.setattr(process.os, "pidfd_open", refuse)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OSError, match="too many"):
        Process("x", standard=theirs)

    assert children.read_text() == before


async def test_one_that_is_apart_has_a_session_of_its_own() -> None:
    """What a terminal sends to the relay does not reach it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        started = Process("x", standard=theirs, is_apart=True)

        assert os.getsid(started.pid) == started.pid
        assert os.getpriority(os.PRIO_PROCESS, started.pid) == os.getpriority(os.PRIO_PROCESS, 0)

        started.kill()
        await asyncio.wait_for(started.wait(), PATIENCE_S)


async def test_media_goes_before_answers() -> None:
    """Its niceness counts, which it would not against another session (sched(7), autogroup)."""
    asked = await Answering.start("x")
    try:
        assert os.getsid(asked.process.pid) == os.getsid(0)
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, asked.process.pid) == min(19, own + NICENESS)
    finally:
        await asyncio.wait_for(asked.stop(), PATIENCE_S)


async def test_a_question_is_answered() -> None:
    """And an end of the questions is one of the answers."""
    asked = await Answering.start("x")
    asked.questions.write(b"hello")
    asked.questions.write_eof()

    assert await asyncio.wait_for(asked.answers.read(), PATIENCE_S) == b"hello"

    await asyncio.wait_for(asked.stop(), PATIENCE_S)


async def test_whoever_goes_away_while_it_starts_takes_it_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for questions for ever."""
    started: list[Process] = []

    def note(module: str, *, standard: socket.socket, niceness: int) -> Process:
        started.append(Process(module, standard=standard, niceness=niceness))
        return started[0]

    async def leave(sock: socket.socket) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(process, "Process", note)
    monkeypatch.setattr(process.asyncio, "open_unix_connection", leave)

    with pytest.raises(asyncio.CancelledError):
        await Answering.start("x")

    await asyncio.wait_for(started[0].wait(), PATIENCE_S)
