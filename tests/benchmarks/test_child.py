"""Programs a benchmark starts."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from benchmarks.child import Child, ChildFailed, accepts, free_port
from benchmarks.pinning import split
from load import until_true

pytestmark = pytest.mark.e2e

LISTEN = """
import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); print("up", flush=True)
time.sleep(60)
"""

#: Starts a child as a benchmark does, says its process, and dies without any clean-up.
ABANDON = """
import pathlib, subprocess, sys
from benchmarks.child import Child
child = Child([sys.executable, "-c", "import time; time.sleep(60)"], 0, pathlib.Path(sys.argv[1]))
print(child.pid, flush=True)
sys.stdin.read()
"""


async def test_a_program_is_waited_for_pinned_and_stopped(tmp_path: Path) -> None:
    """On the core it was given; nothing listens afterwards."""
    port, core = free_port(), split().server
    child = Child([sys.executable, "-c", LISTEN, str(port)], core, tmp_path / "log")
    await child.until(lambda: accepts(port), 20)
    assert os.sched_getaffinity(child.pid) == {core}
    assert os.getsid(child.pid) == child.pid, "it shares no session with the load, and so no share of a core"
    assert child.output() == "up\n"
    await child.stop()
    assert not await accepts(port)


async def test_a_program_that_ends_too_early_says_why(tmp_path: Path) -> None:
    """With the end of its log."""
    child = Child([sys.executable, "-c", "print('no such camera'); exit(3)"], split().load, tmp_path / "log")

    async def never() -> bool:
        return False

    with pytest.raises(ChildFailed, match="ended with 3: no such camera"):
        await child.until(never, 20)
    await child.stop()


def has_ended(pid: int) -> bool:
    """Whether a process runs no more; one that nobody has reaped yet counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


async def test_nothing_outlives_a_benchmark_that_is_killed(tmp_path: Path) -> None:
    """Not even after SIGKILL, when no clean-up runs."""
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ABANDON, str(tmp_path / "log")), stdin=PIPE, stdout=PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()

    await until_true(lambda: has_ended(pid))
