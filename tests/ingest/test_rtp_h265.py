"""Tests of camrelay.ingest.rtp_h265: what is different from H.264; the rest is tested there."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import H265_PPS, H265_SPS, H265_VPS
from camrelay.ingest.rtp import RtpUnit
from camrelay.ingest.rtp_h265 import H265Depacketizer
from camrelay.simulate.rtp import cut, datagrams, stamp

IDR = bytes((19 << 1, 1)) + b"\xaf" + bytes(range(1, 201))
SLICE = bytes((1 << 1, 1)) + b"\xd0" + bytes(range(1, 51))
LATER_SLICE = bytes((1 << 1, 1)) + b"\x50" + bytes(range(1, 51))


class Camera:
    """Stamps payloads with running numbers, and shows what comes out of them."""

    def __init__(self) -> None:
        self.sequence = 7
        self.track = H265Depacketizer(96)

    def send(self, *payloads: bytes, at: int = 0, marker: bool = True) -> list[RtpUnit]:
        """The units that are complete after these packets; the last one has the marker."""
        for i, payload in enumerate(payloads):
            second = 96 | 0x80 * (marker and i == len(payloads) - 1)
            packet = struct.pack(">BBHII", 0x80, second, self.sequence, at, 5) + payload
            self.track.packet(b"before" + packet, 6, 6 + len(packet))
            self.sequence += 1
        # What loses packets before the first one is not what is tested here.
        units, self.track.finished = [unit for unit in self.track.finished], []
        return units


def fragments(nal_unit: bytes, size: int = 40) -> list[bytes]:
    """RFC 7798 §4.4.3."""
    kind = nal_unit[0] >> 1
    pieces = [nal_unit[i : i + size] for i in range(2, len(nal_unit), size)]
    last = len(pieces) - 1
    return [
        bytes((49 << 1, nal_unit[1], kind | 0x80 * (i == 0) | 0x40 * (i == last))) + piece
        for i, piece in enumerate(pieces)
    ]


def aggregate(*nal_units: bytes) -> bytes:
    """RFC 7798 §4.4.2."""
    return bytes((48 << 1, 1)) + b"".join(len(unit).to_bytes(2) + unit for unit in nal_units)


@pytest.fixture
def camera() -> Camera:
    """One whose first picture has been seen."""
    made = Camera()
    made.send(SLICE, at=1)
    return made


class TestPackets:
    def test_one_nal_unit_each(self, camera: Camera) -> None:
        """Parameter sets belong to the picture that follows."""
        units = camera.send(H265_VPS, H265_SPS, H265_PPS, IDR, at=2)
        assert units == [RtpUnit(2, [H265_VPS, H265_SPS, H265_PPS, IDR])]

    def test_fragments_are_joined(self, camera: Camera) -> None:
        """Under the header that was taken apart, which is the one that was there."""
        assert camera.send(aggregate(H265_VPS, H265_SPS), *fragments(IDR), at=2) == [
            RtpUnit(2, [H265_VPS, H265_SPS, IDR])
        ]

    def test_a_nal_unit_goes_with_the_fragments_before_it(self, camera: Camera) -> None:
        """Whatever comes next ends them."""
        pieces = fragments(IDR)
        assert camera.send(*pieces, aggregate(LATER_SLICE), at=2)[0].nal_units == [IDR, LATER_SLICE]
        assert camera.send(*pieces, *pieces, at=3)[0].nal_units == [IDR, IDR]

    @pytest.mark.parametrize(
        "payload",
        [
            fragments(IDR)[1],
            fragments(IDR)[0][:2],
            bytes((50 << 1, 1)) + b"paci",
            bytes((48 << 1, 1, 0)),
            bytes((48 << 1, 1, 0, 200, 1)),
        ],
    )
    def test_what_is_damaged_is_lost_as_a_whole(self, camera: Camera, payload: bytes) -> None:
        """A fragment without its first, what nobody asked for, sizes beyond the packet."""
        assert camera.send(payload, LATER_SLICE, at=2) == [RtpUnit(2, ())]

    def test_a_marker_on_every_slice_is_not_believed(self, camera: Camera) -> None:
        """The second part of a picture does not begin one."""
        camera.send(SLICE, at=2)
        assert camera.send(LATER_SLICE, at=2) == [RtpUnit(2, ())]
        assert camera.send(SLICE, LATER_SLICE, at=3) == []
        assert camera.send(SLICE, at=4) == [RtpUnit(3, [SLICE, LATER_SLICE])]

    def test_interleaved_fragments_have_no_way_of_their_own(self, camera: Camera) -> None:
        """They come one by one."""
        assert camera.track.fragments(b"$\0\0\0", 0, 0x2400) == 0

    @given(st.lists(st.binary(max_size=12), max_size=6))
    def test_is_safe_with_anything(self, payloads: list[bytes]) -> None:
        """Nothing is raised, and nothing incomplete comes out."""
        for unit in Camera().send(*payloads):
            assert all(unit.nal_units)


class TestFirstPicture:
    @pytest.mark.parametrize(
        "payload",
        [
            IDR,
            H265_VPS,
            aggregate(H265_VPS, H265_SPS),
            aggregate(IDR),
            fragments(IDR)[0],
            fragments(b"\x4e\1" * 60)[0],
        ],
    )
    def test_begins_where_one_can_begin(self, payload: bytes) -> None:
        """With parameter sets or with a picture's first slice, whatever they come in."""
        camera = Camera()
        camera.send(payload, at=1, marker=False)
        assert not camera.track._is_damaged

    @pytest.mark.parametrize(
        "payload",
        [
            LATER_SLICE,
            b"\x02\x01",
            aggregate(LATER_SLICE),
            *fragments(LATER_SLICE)[:2],
            fragments(IDR)[1],
            b"\x62\1\x93",
        ],
    )
    def test_does_not_begin_in_the_middle(self, payload: bytes) -> None:
        """After a loss, what is left of a picture is of no use."""
        camera = Camera()
        camera.send(payload, at=1, marker=False)
        assert camera.track._is_damaged


def test_takes_what_the_simulated_camera_sends() -> None:
    """Large and small, cut by somebody else."""
    nal_units = (H265_VPS, H265_SPS, H265_PPS, IDR + bytes(range(1, 255)) * 20)
    train = cut(nal_units, is_key=True, delay=0, is_h265=True)
    track = H265Depacketizer(96)
    for packet in datagrams(train, stamp(train, 0, 0, 9, 5, 0)):
        track.packet(packet, 0, len(packet))

    *_, unit = track.finished
    assert unit.timestamp == 9
    assert [*unit.nal_units[:3], unit.nal_units[-1]] == list(nal_units)
