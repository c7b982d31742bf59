"""The synthetic sender, and the load client against it."""

from __future__ import annotations

import struct

from benchmarks.whep.synthetic import Stream


def test_a_second_is_as_heavy_as_asked_and_numbered_without_a_gap() -> None:
    """Runs of equal packets, the last shorter; 2 Mb/s over a GOP within 10 %; numbers wrap."""
    stream = Stream(2_000_000, seed=3)
    expected, total = 65_000, 0
    for _ in range(50):
        runs = stream.access_unit()
        for index, run in enumerate(runs):
            packets = [run[i : i + 1186] for i in range(0, len(run), 1186)]
            assert len(packets) <= 44
            total += len(run)
            for place, packet in enumerate(packets):
                head, number = struct.unpack_from("!HH", packet)
                is_last = index == len(runs) - 1 and place == len(packets) - 1
                assert (head, number) == (0x8061 | 0x80 * is_last, expected)
                expected = (expected + 1) & 0xFFFF
    assert abs(total * 8 / 2 - 2_000_000) < 200_000


def test_the_same_seed_makes_the_same_load() -> None:
    """Runs can be repeated."""
    one, other = Stream(1_000_000, seed=5), Stream(1_000_000, seed=5)
    assert [one.access_unit() for _ in range(5)] == [other.access_unit() for _ in range(5)]
