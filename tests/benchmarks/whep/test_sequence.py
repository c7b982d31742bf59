"""The account of sequence numbers."""

from __future__ import annotations

from benchmarks.whep.sequence import Sequence

HEAD = 0x8060


def run(first: int, count: int, *, marked: bool = True) -> tuple[int, ...]:
    """Heads as one receive gives them; the last packet of a picture has the marker."""
    heads: list[int] = []
    for index in range(count):
        heads += (HEAD | 0x80 * (marked and index == count - 1), (first + index) & 0xFFFF)
    return tuple(heads)


def started(at: int) -> Sequence:
    sequence = Sequence()
    sequence.packet(HEAD, at)
    return sequence


def test_the_first_packet_is_never_a_fast_one() -> None:
    """Nothing is known yet, and nothing is counted."""
    sequence = Sequence()
    assert not sequence.fast(run(0, 3))
    assert sequence.packets == 0


def test_a_run_that_goes_on_counts_at_once() -> None:
    """Also across the wrap."""
    sequence = started(65_530)
    assert sequence.fast(run(65_531, 9))
    assert sequence.fast(run(4, 2))
    assert (sequence.packets, sequence.missing, sequence.highest) == (12, 0, 5)


def test_a_gap_is_counted_and_a_late_packet_fills_it() -> None:
    """Missing goes up by what was jumped over, and down again."""
    sequence = started(10)
    assert not sequence.fast(run(13, 1))
    sequence.packet(HEAD, 13)
    assert sequence.missing == 2
    sequence.packet(HEAD, 11)
    assert (sequence.missing, sequence.late, sequence.highest) == (1, 1, 13)


def test_what_is_not_rtp_never_counts_as_a_run() -> None:
    """A STUN message or a sender report whose third and fourth byte happen to be the number expected."""
    sequence = started(7)
    assert not sequence.fast((0x0101, 8))
    assert not sequence.fast((0x80C8, 8))
    assert not sequence.fast((*run(8, 2), 0x80C8, 10))
    assert sequence.packets == 1
