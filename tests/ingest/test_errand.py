"""Processes that answer one question."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from camrelay.errors import CameraAuthFailed, CameraUnreachable, Overloaded, WorkerLost
from camrelay.ingest import errand, process
from camrelay.ingest.errand import Errands

MODULE = """
import asyncio, os, sys
from camrelay.errors import CameraAuthFailed
from camrelay.ingest.errand import answer_questions
async def answer(question):
    word = question.decode()
    if word == "crash": os.abort()
    if word == "grow": x = bytearray(4_000_000_000)
    if word == "flood":
        while True: os.write(1, b"+" * 100_000)
    if word == "hang": await asyncio.sleep(3600)
    if word == "refuse": raise CameraAuthFailed("no")
    if word == "garble": os.write(1, b"?"); os._exit(0)
    if word == "nice": return b"%d" % os.nice(0)
    return b"you said " + question
answer_questions(answer)
"""


@pytest.fixture
def errands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Errands:
    """Runs the module above in place of a module of camrelay."""
    script = tmp_path / "python"
    (tmp_path / "answering.py").write_text(MODULE)
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -P {tmp_path}/answering.py\n")
    script.chmod(0o755)
    monkeypatch.setattr(process.sys, "executable", str(script))
    return Errands()


async def test_a_question_is_answered(errands: Errands) -> None:
    """Bytes in, bytes out."""
    assert await errands.run("x", b"hello", limit_s=20) == b"you said hello"


async def test_media_goes_first(errands: Errands) -> None:
    """Whoever answers has a lower priority than the relay."""
    assert int(await errands.run("x", b"nice", limit_s=20)) == process.NICENESS


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ("refuse", CameraAuthFailed),
        ("crash", WorkerLost),
        ("grow", WorkerLost),
        ("flood", WorkerLost),
        ("garble", WorkerLost),
    ],
)
async def test_failures_keep_their_class(errands: Errands, question: str, error: type[Exception]) -> None:
    """What the process says is wrong, or that it died."""
    with pytest.raises(error):
        await errands.run("x", question.encode(), limit_s=20)


async def test_a_process_that_hangs_is_killed(errands: Errands) -> None:
    """In time, and its place is free again."""
    for _ in range(errand.MAX_AT_ONCE + 1):
        with pytest.raises(CameraUnreachable):
            await errands.run("x", b"hang", limit_s=0.2)


async def test_whoever_asks_may_go_away(errands: Errands) -> None:
    """The process goes too."""
    asking = asyncio.create_task(errands.run("x", b"hang", limit_s=60))
    await asyncio.sleep(0.1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_so_many_at_once(errands: Errands) -> None:
    """One more is told to come back."""
    asking = [asyncio.create_task(errands.run("x", b"hang", limit_s=60)) for _ in range(errand.MAX_AT_ONCE)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await errands.run("x", b"hello", limit_s=20)

    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert await errands.run("x", b"hello", limit_s=20)
