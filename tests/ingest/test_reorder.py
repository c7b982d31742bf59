"""Tests of camrelay.ingest.reorder: datagrams as networks bring them."""

from __future__ import annotations

import struct

from camrelay.ingest.reorder import REORDER_PACKETS, REORDER_S, Reorder


def numbered(sequence: int) -> bytes:
    return struct.pack(">BBHII", 0x80, 96, sequence & 0xFFFF, 0, 7)


class TestReorder:
    def order(self, *sequences: int, at: float = 0.0) -> list[int]:
        return self.put(Reorder(), *sequences, at=at)

    def put(self, reorder: Reorder, *sequences: int, at: float = 0.0) -> list[int]:
        return [int.from_bytes(d[2:4], "big") for s in sequences for d in reorder.put(numbered(s), at)]

    def test_what_overtook_waits(self) -> None:
        """Over the end of the numbers as well."""
        assert self.order(65_534, 0, 65_535, 2, 3, 1) == [65_534, 65_535, 0, 1, 2, 3]

    def test_what_comes_late_is_passed_on(self) -> None:
        """Whether it still counts is not decided here."""
        assert self.order(5, 6, 4) == [5, 6, 4]

    def test_a_missing_one_is_not_waited_for_long(self) -> None:
        """In time or in packets, whichever ends first."""
        reorder = Reorder()
        assert self.put(reorder, 1, 3, 4) == [1]
        assert self.put(reorder, 5, at=REORDER_S + 0.01) == [3, 4, 5]

        held = range(7, 7 + REORDER_PACKETS)
        assert self.put(reorder, *held, at=1.0) == []
        assert self.put(reorder, 7 + REORDER_PACKETS, at=1.0) == [*held, 7 + REORDER_PACKETS]

    def test_the_clock_starts_anew_for_the_next_gap(self) -> None:
        """A gap that closes leaves the other its own time."""
        reorder = Reorder()
        self.put(reorder, 1, 3, 5)

        assert self.put(reorder, 2, at=REORDER_S - 0.01) == [2, 3]
        assert self.put(reorder, 6, at=REORDER_S + 0.01) == []
