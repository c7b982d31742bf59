"""The memory that all viewers' packets go through."""

from __future__ import annotations

from pylibsrtp._binding import ffi  # type: ignore[import-not-found]

from camrelay.fanout.webrtc.rtp import PAYLOAD_BYTES, RUN_PACKETS, PacketFormat, Packets
from camrelay.fanout.webrtc.slots import Slots

FORM = PacketFormat(7, 102)


def test_packets_stand_where_the_datagrams_begin() -> None:
    """Header and payload, then room for the tag; libsrtp is told where, and how long."""
    packets = Packets(10, 20, 0, (b"a" * PAYLOAD_BYTES, b"b" * 5), False)
    slots = Slots(12, 16)

    run = slots.lay(FORM, packets, 0, 2)
    run.datagrams[:] = run.plain
    run.lengths[:] = run.plain_lengths

    assert slots.run is run
    assert len(run.datagrams) == run.slot_bytes + 12 + 5 + 16
    for index, (datagram, length) in enumerate(run.places):
        plain = FORM.header(packets, index) + packets.payloads[index]
        assert length[0] == len(plain)
        assert ffi.buffer(datagram, len(plain))[:] == plain
        assert bytes(run.datagrams[index * run.slot_bytes :][: len(plain)]) == plain


def test_a_run_knows_its_numbers() -> None:
    """A later run of an access unit does not start it."""
    packets = Packets(65_530, 20, 0, (bytes(9), bytes(PAYLOAD_BYTES), bytes(3)), False)

    first, second = (Slots(12, 10).lay(FORM, packets, *span) for span in ((0, 1), (1, 3)))

    assert (first.first, first.end, first.starts, first.count) == (65_530, 65_531, True, 1)
    assert (second.first, second.end, second.starts, second.count) == (65_531, 65_533, False, 2)


def test_the_longest_run_fits_one_system_call() -> None:
    """The largest header and tag stay below 64 KiB."""
    packets = Packets(0, 0, 0, (bytes(PAYLOAD_BYTES),) * RUN_PACKETS, False)

    run = Slots(20, 16).lay(PacketFormat(7, 102, 3), packets, 0, RUN_PACKETS)

    assert len(run.datagrams) == RUN_PACKETS * run.slot_bytes < 65_507
    assert run.pieces == [run.datagrams]


def test_a_packet_that_does_not_fill_its_slot_ends_a_piece() -> None:
    """UDP_SEGMENT cuts equal packets; only the last may be shorter. One that fills its slot can be it too."""
    full, short = bytes(PAYLOAD_BYTES), bytes(3)
    packets = Packets(0, 0, 0, (short, full, full, short, full, full), False)

    run = Slots(12, 16).lay(FORM, packets, 0, 6)

    step, last = run.slot_bytes, 12 + 3 + 16
    assert [len(piece) for piece in run.pieces] == [last, 2 * step + last, 2 * step]
    assert sum(map(len, run.pieces)) == len(run.datagrams) - 2 * (step - last)


def test_a_run_is_given_other_numbers() -> None:
    """The longest one too, through a wrap; nothing else of a packet changes."""
    packets = Packets(10, 20, 0, (bytes(PAYLOAD_BYTES),) * (RUN_PACKETS - 1) + (b"a",), False)
    run = Slots(12, 16).lay(FORM, packets, 0, RUN_PACKETS)
    run.datagrams[:] = run.plain

    run.number(0x2FFF0)

    other = packets.renumbered(0xFFF0, 20, 0)
    expected = Slots(12, 16).lay(FORM, other, 0, RUN_PACKETS).plain
    assert bytes(run.datagrams) == expected
