"""What processes use, out of /proc: CPU, memory, descriptors."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """A process, or it and all its descendants, at one moment. `cpu_s` counts up, the rest are levels."""

    at: float
    cpu_s: float
    rss_bytes: int
    descriptors: int
    processes: int
    threads: int


def family(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for parent in found:
        for task in _listed(_PROC / str(parent) / "task"):
            found += map(int, _text(task / "children").split())
    return found


def usage(pid: int, *, alone: bool = False) -> Usage:
    """What the process and, unless `alone`, its descendants use now; zeros when it is gone."""
    cpu_ticks = rss_pages = descriptors = threads = processes = 0
    for member in [pid] if alone else family(pid):
        # The command's name, in brackets, may hold spaces (proc(5)); fields count from 3 behind it.
        fields = _text(_PROC / str(member) / "stat").rpartition(")")[2].split()
        if not fields:
            continue
        processes += 1
        cpu_ticks += int(fields[11]) + int(fields[12])
        threads += int(fields[17])
        rss_pages += int(fields[21])
        descriptors += len(_listed(_PROC / str(member) / "fd"))
    return Usage(
        at=time.monotonic(),
        cpu_s=cpu_ticks / _TICKS_PER_S,
        rss_bytes=rss_pages * _PAGE_BYTES,
        descriptors=descriptors,
        processes=processes,
        threads=threads,
    )


def cpu_clock_s(pid: int) -> float:
    """CPU that the process and its descendants have used, to the nanosecond where `usage` counts ticks.

    Raises:
        OSError: one of them is gone.
    """
    # A process's CPU clock by its number: clock_getcpuclockid(3).
    return sum(time.clock_gettime((~member << 3) | 2) for member in family(pid))


def cpu_share(before: Usage, after: Usage) -> float:
    """Cores' worth of CPU between two moments: 0.8 is 80 % of one core."""
    return (after.cpu_s - before.cpu_s) / max(after.at - before.at, 1e-9)


def core_s(core: int) -> float:
    """Seconds one core was busy since the machine started, stolen by its hypervisor included (proc(5))."""
    line = next(line for line in _text(_PROC / "stat").splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _io_wait, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # It ended while we looked.
        return ""


def _listed(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:  # It ended while we looked, or belongs to somebody else.
        return []
