"""What was measured on."""

from __future__ import annotations

from benchmarks.machine import load_average, machine, versions


def test_a_result_can_say_what_it_was_measured_on() -> None:
    """Processor, cores, memory, kernel, and the versions of what does the work."""
    found = machine()
    assert found["processor"]
    assert int(found["cores"]) >= 1
    assert int(found["memory_mb"]) > 100
    assert {"python", "aiohttp", "uvloop"} <= versions().keys()
    assert load_average() >= 0
