"""What processes use."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from benchmarks.sampling import core_s, cpu_clock_s, cpu_share, family, usage

#: Burns CPU in a grandchild.
BUSY = "print(1, flush=True)\nwhile True: pass"
NESTED = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"


def test_descendants_count() -> None:
    """A process that only waits for its busy child uses that child's core."""
    process = subprocess.Popen([sys.executable, "-c", NESTED], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        before = usage(process.pid)
        time.sleep(0.5)  # CPU time is what is measured, and it takes time.
        after = usage(process.pid)
        assert before.processes == 2
        assert len(family(process.pid)) == 2
        assert cpu_share(before, after) > 0.05
        assert after.rss_bytes > 5_000_000
        assert after.descriptors >= 6
        assert usage(process.pid, alone=True).processes == 1
    finally:
        for member in reversed(family(process.pid)):
            os.kill(member, 9)
        process.communicate()


def test_cpu_to_the_nanosecond_is_that_of_the_process() -> None:
    """Asked from outside, the clock stands at what the process itself sees; one that is gone has none."""
    says = "import time; print(time.process_time(), flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", says], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    seen = float(process.stdout.readline())
    assert seen <= cpu_clock_s(process.pid) < seen + 1
    process.communicate(b"\n")
    with pytest.raises(OSError, match="Invalid argument"):
        cpu_clock_s(process.pid)


def test_a_process_that_is_gone_uses_nothing() -> None:
    """No error, for it may end at any time."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert usage(process.pid)[1:] == (0, 0, 0, 0, 0)


def test_a_cores_time_counts_up_but_no_faster_than_time() -> None:
    """Whoever used it."""
    core = min(os.sched_getaffinity(0))
    began, before = time.monotonic(), core_s(core)
    while time.monotonic() - began < 0.3:
        pass
    assert 0 <= core_s(core) - before <= time.monotonic() - began + 0.1
