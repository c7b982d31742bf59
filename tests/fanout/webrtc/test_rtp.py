"""What is cut can be put together again, and the numbers say what RFC 3550 and RFC 6184 want."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from builders import H265_PARAMS, PPS, SPS_360P, make_au, make_params
from camrelay.errors import BadNalUnit
from camrelay.fanout.webrtc import h265
from camrelay.fanout.webrtc.rtp import (
    MAX_NAL_UNITS,
    PAYLOAD_BYTES,
    RUN_PACKETS,
    PacketFormat,
    Packets,
    abs_send_time,
    cut,
    nal_units,
    refusal,
    runs,
)
from camrelay.model import AccessUnit, Codec


def au_of(*units: bytes, is_key: bool = False) -> AccessUnit:
    data = b"".join(len(unit).to_bytes(4) + unit for unit in units)
    return msgspec.structs.replace(make_au(is_key=is_key), data=data)


def unit(size: int, header: int = 0x41) -> bytes:
    return bytes([header]) + bytes(range(256)) * (size // 256) + bytes((size - 1) % 256)


def depacketize(payloads: tuple[bytes, ...]) -> list[bytes]:
    """The NAL units again, as RFC 6184 §5.6 to §5.8 tell a receiver to read them."""
    found: list[bytes] = []
    for payload in payloads:
        kind = payload[0] & 0x1F
        if kind == 24:
            at = 1
            while at < len(payload):
                size = int.from_bytes(payload[at : at + 2])
                found.append(payload[at + 2 : at + 2 + size])
                at += 2 + size
        elif kind == 28:
            if payload[1] & 0x80:
                found.append(bytes([payload[0] & 0xE0 | payload[1] & 0x1F]))
            found[-1] += payload[2:]
        else:
            found.append(payload)
    return found


def packets_of(*sizes: int, first: int = 0) -> Packets:
    return Packets(first, 0, 0, tuple(bytes(size) for size in sizes), False)


class TestCut:
    def test_a_key_frame_starts_with_its_parameter_sets_in_one_aggregate(self) -> None:
        """SPS and PPS go first, as STAP-A: a decoder that joins has nothing else to learn them from."""
        payloads = cut(au_of(unit(5000, 0x65), is_key=True))

        assert payloads[0][0] == 0x60 | 24
        assert depacketize(payloads)[:2] == [SPS_360P, PPS]
        assert depacketize(payloads)[2] == unit(5000, 0x65)

    def test_other_access_units_carry_no_parameter_sets(self) -> None:
        """Only key frames can be joined at."""
        assert cut(au_of(unit(100))) == (unit(100),)

    def test_fragments_are_equal_but_the_last(self) -> None:
        """FU-A of one size, so that the kernel can cut a run of them; start and end are marked."""
        payloads = cut(au_of(unit(5000)))

        assert [len(payload) for payload in payloads[:-1]] == [PAYLOAD_BYTES] * 4
        assert len(payloads[-1]) < PAYLOAD_BYTES
        assert [payload[1] >> 6 for payload in payloads] == [2, 0, 0, 0, 1]

    def test_what_fits_a_packet_is_not_fragmented(self) -> None:
        """The limit itself still fits."""
        assert [len(p) for p in cut(au_of(unit(PAYLOAD_BYTES)))] == [PAYLOAD_BYTES]
        assert len(cut(au_of(unit(PAYLOAD_BYTES + 1)))) == 2

    def test_small_neighbours_share_a_packet_until_it_is_full(self) -> None:
        """SEI and small slices are aggregated as long as the sum fits."""
        units = [unit(600, 0x06), unit(500), unit(500)]

        payloads = cut(au_of(*units))

        assert [payload[0] & 0x1F for payload in payloads] == [24, 1]
        assert depacketize(payloads) == units

    def test_an_aggregate_is_as_important_as_its_most_important_part(self) -> None:
        """RFC 6184 §5.7: the highest NRI counts."""
        assert cut(au_of(unit(9, 0x06), unit(9, 0x61)))[0][0] == 0x60 | 24

    def test_empty_nal_units_are_left_out(self) -> None:
        """Nothing of length zero becomes a packet."""
        assert cut(au_of(b"", unit(10))) == (unit(10),)
        assert cut(au_of()) == ()

    def test_the_access_unit_is_left_untouched(self) -> None:
        """Other outputs read the same bytes."""
        au = au_of(unit(3000))
        before = bytes(au.data)

        cut(au)

        assert au.data == before

    @pytest.mark.parametrize("data", [b"\0", b"\0\0\0\5abcd", b"\xff\xff\xff\xffab", b"\0\0\0\1a\0\0"])
    def test_lengths_that_do_not_add_up_are_an_error(self, data: bytes) -> None:
        """Cut-off lengths and lengths beyond the end raise BadNalUnit, nothing else."""
        with pytest.raises(BadNalUnit, match="do not add up"):
            list(nal_units(data))

    def test_the_number_of_nal_units_has_a_limit(self) -> None:
        """One byte each would otherwise make millions of objects out of an access unit."""
        with pytest.raises(BadNalUnit):
            list(nal_units(b"\0\0\0\1A" * (MAX_NAL_UNITS + 1)))

    @given(st.lists(st.integers(1, 6000), min_size=1, max_size=12), st.booleans())
    def test_whatever_is_cut_can_be_put_together(self, sizes: list[int], is_key: bool) -> None:
        """A receiver gets the same NAL units, in packets that all fit."""
        units = [unit(size, 0x65 if is_key else 0x41) for size in sizes]
        parameter_sets = [*make_params().sps, *make_params().pps] if is_key else []

        payloads = cut(au_of(*units, is_key=is_key))

        assert depacketize(payloads) == parameter_sets + units
        assert all(0 < len(payload) <= PAYLOAD_BYTES for payload in payloads)


class TestPackets:
    def test_the_end_is_the_number_after_the_last(self) -> None:
        """Without wrap: the numbers are extended."""
        assert packets_of(1, 2, 3, first=65535).end == 65538

    def test_renumbered_packets_share_their_payloads(self) -> None:
        """Own numbers cost a viewer no copy."""
        packets = packets_of(5, first=7)

        again = packets.renumbered(9, 10, 11)

        assert (again.first, again.timestamp, again.send_time) == (9, 10, 11)
        assert again.payloads is packets.payloads


class TestHeader:
    def test_sequence_and_timestamp_wrap_on_the_wire(self) -> None:
        """Sixteen and thirty-two bits of them; the last packet carries the marker."""
        form = PacketFormat(0xDEADBEEF, 102)
        packets = Packets(65535, (1 << 32) + 5, 0, (b"a", b"b"), False)

        first, last = (RtpPacket.parse(form.header(packets, i) + packets.payloads[i]) for i in (0, 1))

        assert (first.sequence_number, first.marker, first.payload_type) == (65535, 0, 102)
        assert (last.sequence_number, last.marker) == (0, 1)
        assert (last.timestamp, last.ssrc) == (5, 0xDEADBEEF)
        assert form.header_bytes == 12

    def test_abs_send_time_is_where_it_was_agreed(self) -> None:
        """One one-byte extension of three bytes, at the negotiated id."""
        form = PacketFormat(1, 96, abs_send_time_id=3)
        header = form.header(Packets(1, 2, 0xABCDEF, (b"x",), False), 0)

        packet = RtpPacket.parse(header + b"x", HeaderExtensionsMap())

        assert len(header) == form.header_bytes == 20
        assert header[12:] == bytes.fromhex("bede 0001 32abcdef")
        assert packet.payload == b"x"

    def test_abs_send_time_wraps_every_64_seconds(self) -> None:
        """6.18 fixed point."""
        assert abs_send_time(1.5) == 0x060000
        assert abs_send_time(65.5) == abs_send_time(1.5)


class TestRuns:
    def test_a_run_has_a_longest_length(self) -> None:
        """64 KiB and 64 segments are the kernel's limits."""
        assert runs(packets_of(*[PAYLOAD_BYTES] * (RUN_PACKETS + 1))) == [
            (0, RUN_PACKETS),
            (RUN_PACKETS, RUN_PACKETS + 1),
        ]

    @given(
        st.lists(st.sampled_from([1, 500, PAYLOAD_BYTES]), min_size=1, max_size=200), st.integers(0, 70000)
    )
    def test_runs_cover_everything_in_order(self, sizes: list[int], first: int) -> None:
        """Each packet is in one run, and none is too long."""
        packets = packets_of(*sizes, first=first)

        found = runs(packets)

        assert [i for start, stop in found for i in range(start, stop)] == list(range(len(sizes)))
        for start, stop in found:
            assert stop - start <= RUN_PACKETS


@pytest.mark.parametrize(
    ("change", "said"), [({}, ""), ({"codec": Codec.H265}, ""), ({"reorder_depth": 1}, "B-frames")]
)
def test_what_browsers_cannot_play_is_refused(change: dict[str, Any], said: str) -> None:
    """And the answer says what is wrong with the camera, and what to do."""
    text = refusal(msgspec.structs.replace(make_params(), **change))

    assert bool(text) == bool(said)
    assert said in text


def test_h265_is_cut_by_its_own_rules() -> None:
    """Parameter sets together with what is small, large NAL units in fragments (RFC 7798 §4.4)."""
    large = bytes((19 << 1, 1)) + bytes(2 * PAYLOAD_BYTES)
    small = bytes((39 << 1, 1)) + b"sei"
    data = b"".join(len(unit).to_bytes(4) + unit for unit in (small, large))
    au = AccessUnit(0, 0, True, data, H265_PARAMS, 0)

    sets, *fragments = cut(au)

    assert sets == h265.aggregate([*H265_PARAMS.vps, *H265_PARAMS.sps, *H265_PARAMS.pps, small])
    assert fragments == list(h265.fragments(large, PAYLOAD_BYTES))
    assert len(fragments) == 3
