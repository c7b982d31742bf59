"""Programs a benchmark starts: pinned, logged to a file, and gone when it is."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.pinning import pinned

#: A server that is asked to stop and does not is killed after this long.
_STOP_TIMEOUT_S = 8.0

_POLL_INTERVAL_S = 0.05

#: Below those that Linux gives away by itself (ip_local_port_range), or somebody's connection might have one
#: before the program that is told to listen there.
_PORTS = range(10_240, 32_768)
#: Processes that ask at the same time begin far from each other.
_next_port = itertools.count(os.getpid() * 997)

_ROOT = Path(__file__).parent.parent


class ChildFailed(Exception):
    """A program that did not start, or ended before its time; the text holds the end of its log."""


class Child:
    """One program on one core."""

    def __init__(self, command: list[str], core: int, log: Path, *, cwd: Path | None = None) -> None:
        self._name = Path(command[0]).name
        self._log = log
        # Our own programs are modules of this checkout, wherever they run.
        env = {**os.environ, "PYTHONPATH": str(_ROOT)}
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                pinned(command, core),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=cwd,
                env=env,
                # Linux shares a core out by session (sched(7), autogroup): in ours, what the load does on the
                # other core would halve the server's share of its own.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process; taskset and setpriv have become the program itself."""
        return self._process.pid

    async def until(self, ready: Callable[[], Awaitable[bool]], timeout_s: float) -> None:
        """Waits until `ready()`.

        Raises:
            ChildFailed: the program ended, or the time did.
        """
        deadline = time.monotonic() + timeout_s
        while not await ready():
            if self._process.poll() is not None:
                raise ChildFailed(f"{self._name} ended with {self._process.returncode}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"{self._name} was not ready after {timeout_s:g} s: {self.last_words()}")
            await asyncio.sleep(_POLL_INTERVAL_S)

    def last_words(self) -> str:
        """The end of what it wrote, on one line."""
        return " / ".join(self._log.read_text(errors="replace").splitlines()[-4:])

    def output(self) -> str:
        """All of what it wrote."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """Ends it without a word."""
        self._process.kill()
        self._process.wait()

    async def stop(self) -> None:
        """Asks it to end, and makes it."""
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, _STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that nobody has right now, and nobody gets by chance.

    Raises:
        ChildFailed: there is none.
    """
    for _ in _PORTS:
        port = _PORTS[next(_next_port) % len(_PORTS)]
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ChildFailed("no port is free")


async def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
