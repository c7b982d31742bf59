"""The endless loop: clocks go on over its end, over the wraps, and over ticks that were left out."""

from __future__ import annotations

import pytest
from aiortc.rtp import RtcpPacket, RtpPacket

from camrelay.simulate import clock, rtp
from camrelay.simulate.timeline import Cue, Departure, Timeline

FPS = 25
TICK = 90_000 // FPS
KEY = rtp.cut((b"\x67\x01", b"\x68\x01", b"\x65" + b"k" * 3000), is_key=True, delay=0)
DELTA = rtp.cut((b"\x41" + b"d" * 100,), is_key=False, delay=0)

#: Packets of each.
KEY_PACKETS, DELTA_PACKETS = 6, 2


def timeline(*, sequence: int = 0, timestamp: int = 0) -> Timeline:
    """A loop of one key frame and three others."""
    return Timeline([KEY, DELTA, DELTA, DELTA], FPS, Cue(sequence, timestamp, 0xCAFE))


def sequence_numbers(departure: Departure) -> list[int]:
    """Of every packet."""
    return [RtpPacket.parse(d).sequence_number for d in departure.datagrams()]


def test_the_loop_goes_on_over_its_end() -> None:
    """Nine departures of a loop of four: consecutive numbers, timestamps one interval apart."""
    line = timeline(sequence=10, timestamp=1000)

    departures = [line.depart(tick, 0) for tick in range(9)]

    numbers = [n for d in departures for n in sequence_numbers(d)]
    assert list(range(10, 10 + 3 * KEY_PACKETS + 6 * DELTA_PACKETS)) == numbers
    assert [1000 + tick * TICK for tick in range(9)] == [d.timestamp for d in departures]
    assert [d.is_key for d in departures] == [True, False, False, False, True, False, False, False, True]


def test_both_counters_wrap() -> None:
    """At 16 and at 32 bits."""
    line = timeline(sequence=65_535, timestamp=2**32 - TICK)

    first, second = line.depart(0, 0), line.depart(1, 0)

    assert sequence_numbers(first) == [65_535, 0, 1, 2, 3, 4]
    assert sequence_numbers(second) == [5, 6]
    assert (first.timestamp, second.timestamp) == (2**32 - TICK, 0)


def test_ticks_left_out_move_the_clock_and_lose_no_picture() -> None:
    """After a pause of a hundred ticks the next picture follows under a later timestamp."""
    line = timeline()
    line.depart(0, 0)

    late = line.depart(100, 0)

    assert not late.is_key
    assert late.timestamp == 100 * TICK
    assert sequence_numbers(late)[0] == KEY_PACKETS


def test_b_frames_are_stamped_with_when_they_were_taken() -> None:
    """A picture that was held back has an older timestamp than its sending."""
    held_back = rtp.cut((b"\x41dd",), is_key=False, delay=2)
    line = Timeline([KEY, held_back], FPS, Cue(0, 50_000, 1))
    line.depart(10, 0)

    assert line.depart(11, 0).timestamp == 50_000 + 9 * TICK


@pytest.mark.parametrize("departed", range(6))
def test_the_cue_foretells_the_next_key_frame(departed: int) -> None:
    """Wherever the loop stands, and over the wrap of the sequence number."""
    line = timeline(sequence=65_530, timestamp=5)
    for tick in range(departed):
        line.depart(tick, 0)

    cue = line.cue(departed)

    tick = departed
    while not (departure := line.depart(tick, 0)).is_key:
        tick += 1
    assert Cue(sequence_numbers(departure)[0], departure.timestamp, 0xCAFE) == cue


def test_rewinding_goes_to_a_key_frame_without_a_gap_in_the_numbers() -> None:
    """Nobody saw the pictures left out, so their packets do not count."""
    line = timeline()
    line.depart(0, 0)
    line.depart(1, 0)

    line.rewind()
    line.rewind()

    departure = line.depart(2, 0)
    assert departure.is_key
    assert sequence_numbers(departure)[0] == KEY_PACKETS + DELTA_PACKETS


def test_a_departure_is_stamped_once_per_channel() -> None:
    """However many receivers share it; each channel has the same packets and send time."""
    departure = timeline().depart(0, 1_700_000_000_000_000)

    assert departure.interleaved(4) is departure.interleaved(4)
    assert departure.interleaved(4) == departure.interleaved(0).replace(b"$\x00", b"$\x04")
    assert clock.sent_us(departure.interleaved(4)) == 1_700_000_000_000_000


def test_sender_reports_tell_what_was_sent() -> None:
    """Packets and payload bytes so far, and the RTP time of the tick."""
    line = timeline(timestamp=77)
    line.depart(0, 0)
    line.depart(1, 0)

    report, _ = RtcpPacket.parse(line.sender_report(1, 2_000_000, "cam1"))

    assert report.sender_info.rtp_timestamp == 77 + TICK
    assert report.sender_info.packet_count == KEY_PACKETS + DELTA_PACKETS
    assert KEY.payload_bytes + DELTA.payload_bytes == report.sender_info.octet_count
