"""Which cores the measured server has, and which the load."""

from __future__ import annotations

import os
from typing import NamedTuple


class Cores(NamedTuple):
    """CPU numbers. Both are the same on a machine with one core, where figures mean little."""

    server: int
    load: int


def split(available: set[int] | None = None) -> Cores:
    """One core for the server, another for everything that loads it."""
    cores = sorted(os.sched_getaffinity(0) if available is None else available)
    return Cores(server=cores[0], load=cores[-1])


def pin(core: int) -> None:
    """Keeps this process, and what it starts from now on, on one core."""
    os.sched_setaffinity(0, {core})


def pinned(command: list[str], core: int) -> list[str]:
    """The command on one core, killed when the thread that started it dies: nothing outlives a benchmark."""
    return ["setpriv", "--pdeathsig", "KILL", "taskset", "--cpu-list", str(core), *command]
