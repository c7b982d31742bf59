"""Tests of camrelay.ingest.rtp: packets as cameras send them, and as they should not."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import PPS, SPS_360P
from camrelay.ingest import rtp
from camrelay.ingest.rtp import Depacketizer, RtpUnit
from camrelay.simulate.rtp import cut, datagrams, stamp

SSRC = 0xCAFE
SEI = bytes.fromhex("0605040102030480")
IDR = b"\x65\x88" + bytes(range(1, 101))
SLICE = b"\x41\x9a" + bytes(range(1, 51))
LATER_SLICE = b"\x41\x2a" + bytes(range(1, 51))
START_CODE = b"\x00\x00\x00\x01"


class Camera:
    """Stamps payloads with running numbers, and shows what comes out of them."""

    def __init__(self, sequence: int = 100) -> None:
        self.sequence = sequence
        self.track = Depacketizer(96)

    def send(
        self, *payloads: bytes, at: int = 0, marker: bool = True, ssrc: int = SSRC, kind: int = 96
    ) -> list[RtpUnit]:
        """The units that are complete after these packets; the last one has the marker."""
        for i, payload in enumerate(payloads):
            second = kind | 0x80 * (marker and i == len(payloads) - 1)
            self.raw(struct.pack(">BBHII", 0x80, second, self.sequence, at, ssrc) + payload)
        return self.units()

    def raw(self, packet: bytes) -> None:
        data = b"before" + packet + b"after"
        self.track.packet(data, 6, 6 + len(packet))
        self.sequence = (self.sequence + 1) & 0xFFFF

    def lose(self, count: int = 1) -> None:
        self.sequence = (self.sequence + count) & 0xFFFF

    def units(self) -> list[RtpUnit]:
        units, self.track.finished = self.track.finished, []
        return units


def fragments(nal_unit: bytes, size: int = 20, *, end: bool = True) -> list[bytes]:
    """FU-A packets (RFC 6184 §5.8)."""
    indicator, kind = nal_unit[0] & 0xE0 | 28, nal_unit[0] & 0x1F
    pieces = [nal_unit[i : i + size] for i in range(1, len(nal_unit), size)]
    last = len(pieces) - 1
    return [
        bytes((indicator, kind | 0x80 * (i == 0) | 0x40 * (end and i == last))) + piece
        for i, piece in enumerate(pieces)
    ]


def aggregate(*nal_units: bytes) -> bytes:
    return b"\x18" + b"".join(len(n).to_bytes(2, "big") + n for n in nal_units)


def lost(at: int = 0) -> RtpUnit:
    return RtpUnit(at, ())


@pytest.fixture
def camera() -> Camera:
    return Camera()


class TestUnits:
    def test_the_marker_ends_a_unit_at_once(self, camera: Camera) -> None:
        """The next picture is not waited for."""
        assert camera.send(*fragments(IDR), at=7) == [RtpUnit(7, [IDR])]

    def test_single_aggregated_and_fragmented_nal_units_mix(self, camera: Camera) -> None:
        """In their order."""
        units = camera.send(aggregate(SPS_360P, PPS), SEI, *fragments(IDR), SLICE)

        assert units == [RtpUnit(0, [SPS_360P, PPS, SEI, IDR, SLICE])]

    @pytest.mark.parametrize("end", [True, False])
    def test_another_timestamp_ends_a_unit_without_marker(self, camera: Camera, end: bool) -> None:
        """Some cameras forget the marker, and the end bit with it."""
        assert camera.send(*fragments(IDR, end=end), at=1, marker=False) == []
        assert camera.send(SLICE, at=2, marker=False) == [RtpUnit(1, [IDR])]
        assert camera.send(SLICE, at=3, marker=False) == [RtpUnit(2, [SLICE])]

    @pytest.mark.parametrize("times", [(5, 5, 5), (1, 2, 5)], ids=["same time", "times of their own"])
    def test_parameter_sets_in_marked_packets_belong_to_the_picture(
        self, camera: Camera, times: tuple[int, int, int]
    ) -> None:
        """Tapo and Reolink send them so."""
        assert camera.send(SPS_360P, at=times[0]) == []
        assert camera.send(PPS, at=times[1]) == []
        assert camera.send(*fragments(IDR), at=times[2]) == [RtpUnit(5, [SPS_360P, PPS, IDR])]

    def test_start_codes_hidden_in_a_parameter_set_hide_no_picture(self, camera: Camera) -> None:
        """The unit ends with its own marker, not with the next one's."""
        joined = START_CODE.join((SPS_360P, PPS, IDR))

        assert camera.send(joined) == [RtpUnit(0, [joined])]

    def test_a_storm_of_start_codes_is_no_picture(self, camera: Camera) -> None:
        """It is not taken apart without end."""
        assert camera.send(b"\x67" + b"\x00\x00\x01\x65" * 2_000) == []

    def test_markers_inside_a_picture_are_seen_through(self, camera: Camera) -> None:
        """A camera that marks every slice costs one picture; then timestamps decide."""
        assert camera.send(IDR, at=1) == [RtpUnit(1, [IDR])]
        assert camera.send(LATER_SLICE, at=1) == [lost(1)]
        assert camera.send(LATER_SLICE, at=1) == []

        assert camera.send(SLICE, at=2) == []
        assert camera.send(LATER_SLICE, at=2) == []
        assert camera.send(SLICE, at=3) == [RtpUnit(2, [SLICE, LATER_SLICE])]

    def test_two_fields_at_one_time_are_two_units(self, camera: Camera) -> None:
        """Interlaced pictures: each field begins at macroblock 0."""
        assert camera.send(IDR, at=1) == [RtpUnit(1, [IDR])]
        assert camera.send(SLICE, at=1) == [RtpUnit(1, [SLICE])]

    def test_padding_sources_and_extensions_are_not_payload(self, camera: Camera) -> None:
        """RFC 3550 §5.1: ONVIF cameras put the time of recording into an extension."""
        head = struct.pack(">BBHII", 0x80 | 0x20 | 0x10 | 1, 0x80 | 96, camera.sequence, 3, SSRC)
        extension = bytes.fromhex("abac0001") + b"time"
        camera.raw(head + b"csrc" + extension + IDR + b"\x00\x00\x03")

        assert camera.units() == [RtpUnit(3, [IDR])]

    def test_sources_alone_are_passed_over_too(self, camera: Camera) -> None:
        """A mixer names whom it mixed; nothing else need follow."""
        camera.raw(struct.pack(">BBHII", 0x82, 0x80 | 96, camera.sequence, 3, SSRC) + bytes(8) + IDR)

        assert camera.units() == [RtpUnit(3, [IDR])]

    @pytest.mark.parametrize("rest", [b"", b"abcd", b"\xab\xac\xff\xff", b"\xab\xac\x00\x00\x65\x09"])
    def test_a_packet_without_room_for_its_payload_only_counts(self, camera: Camera, rest: bytes) -> None:
        """The picture around it is whole."""
        camera.send(IDR, marker=False)
        camera.raw(struct.pack(">BBHII", 0xB0, 96, camera.sequence, 0, SSRC) + rest)

        assert camera.send(SLICE) == [RtpUnit(0, [IDR, SLICE])]

    def test_what_is_no_packet_of_the_track_is_passed_over(self, camera: Camera) -> None:
        """Too short, of another version, of another payload type, or RTCP."""
        camera.send(IDR, marker=False)
        sequence = camera.sequence
        camera.raw(b"\x80" * 11)
        camera.raw(b"\x40" * 20)
        camera.raw(struct.pack(">BBHII", 0x80, 200, 6, SSRC, 0) + bytes(16))
        camera.sequence = sequence
        camera.send(SLICE, kind=97)

        assert camera.send(SLICE) == [RtpUnit(0, [IDR, SLICE])]

    @pytest.mark.parametrize("size", [1_000, 100_000])
    def test_agrees_with_the_simulator(self, size: int) -> None:
        """Whatever is cut comes back."""
        nal_units = [SPS_360P, PPS, b"\x65\x88" + b"\x55" * size]
        train = cut(nal_units, is_key=True, delay=0)
        track = Depacketizer(96)
        for packet in datagrams(train, stamp(train, 0, 65_530, 9, SSRC, 0)):
            track.packet(packet, 0, len(packet))

        assert [n for n in track.finished[0].nal_units if n[0] != 6] == nal_units


class TestLoss:
    def test_a_gap_inside_a_unit_costs_the_rest_of_it(self, camera: Camera) -> None:
        """Nothing incomplete comes out; the loss is told once."""
        first, *rest = fragments(IDR)
        camera.send(first, at=1, marker=False)
        camera.lose()

        assert camera.send(*rest[1:], at=1) == [lost(1)]
        assert camera.send(SLICE, at=2) == [RtpUnit(2, [SLICE])]
        assert camera.track.lost == 1

    @pytest.mark.parametrize(
        "payloads",
        [(IDR,), (SEI, IDR), (aggregate(SPS_360P, PPS), IDR), fragments(IDR)],
        ids=["slice", "SEI", "STAP-A", "FU-A"],
    )
    def test_a_unit_behind_a_gap_is_whole_when_it_begins_like_one(
        self, camera: Camera, payloads: list[bytes]
    ) -> None:
        """A key frame behind a loss ends it; it need not wait for the next."""
        camera.send(SLICE, at=1)
        camera.lose(500)

        lost_unit, unit = camera.send(*payloads, at=9)

        assert lost_unit == lost(1)
        assert unit.timestamp == 9
        assert IDR in unit.nal_units

    @pytest.mark.parametrize(
        "payload",
        [LATER_SLICE, fragments(IDR)[1], fragments(LATER_SLICE)[0], b"\x65", b"\x18\x00", b"\x7c\x85"],
        ids=["later slice", "later fragment", "later slice's fragment", "cut", "cut STAP-A", "cut FU-A"],
    )
    def test_a_unit_without_its_beginning_is_not_one(self, camera: Camera, payload: bytes) -> None:
        """Also the very first, when the camera is joined inside a picture."""
        assert camera.send(payload, at=1) == []
        assert camera.send(SLICE, at=2) == [RtpUnit(2, [SLICE])]

    def test_numbers_go_on_behind_65535(self) -> None:
        """A wrap is no loss."""
        camera = Camera(65_534)

        assert camera.send(*fragments(IDR)) == [RtpUnit(0, [IDR])]
        assert camera.track.lost == 0
        assert camera.track.expected > 65_536

    def test_a_packet_that_comes_twice_or_late_does_not_count(self, camera: Camera) -> None:
        """The picture is whole already."""
        camera.send(SLICE, at=1)
        camera.sequence -= 1
        assert camera.send(SLICE, at=1) == []

        assert camera.send(SLICE, at=2) == [RtpUnit(2, [SLICE])]

    def test_a_camera_that_counts_anew_is_followed(self, camera: Camera) -> None:
        """RFC 3550 §A.1: two packets in a row are believed."""
        camera.send(SLICE, at=1)
        camera.sequence = 7
        first = camera.send(IDR, at=2)
        second = camera.send(IDR, at=3)

        assert first == []
        assert second == [lost(1), RtpUnit(3, [IDR])]

    def test_another_source_is_a_break(self, camera: Camera) -> None:
        """A rebooted encoder: what it sent before has nothing to do with it."""
        camera.send(SLICE, at=1, marker=False)

        assert camera.send(IDR, at=5, ssrc=2) == [lost(1), RtpUnit(5, [IDR])]
        assert camera.track.ssrc == 2

    @pytest.mark.parametrize(
        "payload",
        [
            fragments(IDR)[1],
            b"\x7c",
            b"\x18\x00\x09\x65",
            b"\x18\x00\x00\x65",
            b"\x19\x00\x01\x00\x01\x65",
            b"\x1d\x85\x00\x01\x88",
        ],
        ids=["FU-A without start", "empty FU-A", "STAP-A overrun", "STAP-A of nothing", "STAP-B", "FU-B"],
    )
    def test_a_malformed_packet_spoils_its_unit_only(self, camera: Camera, payload: bytes) -> None:
        """F15."""
        camera.send(SEI, at=1, marker=False)

        assert camera.send(payload, IDR, at=1) == [lost(1)]
        assert camera.send(SLICE, at=2) == [RtpUnit(2, [SLICE])]

    def test_a_unit_over_the_limit_is_given_up(self, camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
        """Memory is bounded, whatever never ends."""
        monkeypatch.setattr(rtp, "MAX_ACCESS_UNIT_BYTES", 1_000)
        camera = Camera()
        endless = fragments(b"\x65\x88" + b"\x55" * 5_000)

        assert camera.send(*endless[:100], at=1, marker=False) == [lost(1)]
        assert camera.send(SLICE, at=2) == [RtpUnit(2, [SLICE])]

    @given(st.lists(st.tuples(st.binary(max_size=40), st.booleans(), st.integers(0, 2)), max_size=30))
    def test_any_payloads_give_whole_units_or_losses(self, packets: list[tuple[bytes, bool, int]]) -> None:
        """Nothing raises, and what comes out holds a coded picture."""
        camera = Camera()
        for payload, marker, at in packets:
            for unit in camera.send(payload, marker=marker, at=at):
                assert not unit.nal_units or all(unit.nal_units)

    @given(st.lists(st.binary(max_size=40), max_size=30))
    def test_any_bytes_are_survived(self, packets: list[bytes]) -> None:
        """Whatever a camera calls a packet."""
        camera = Camera()
        for packet in packets:
            camera.raw(packet)


HEAD = 0x2400


def interleaved(*packets: tuple[bytes, dict[str, int]]) -> bytes:
    """RTP packets as they stand on a connection; each is a payload and what is unusual about its header."""
    data = b""
    for sequence, (payload, unusual) in enumerate(packets, 1):
        number, at = unusual.get("sequence", sequence), unusual.get("at", 0)
        flags = 0x80, unusual.get("second", 96)
        packet = struct.pack(">BBHII", *flags, number, at, unusual.get("ssrc", SSRC)) + payload
        size = unusual.get("size", len(packet))
        data += bytes((0x24, unusual.get("channel", 0))) + size.to_bytes(2, "big") + packet
    return data


def test_fragments_that_go_on_are_taken_in_at_once() -> None:
    """The whole run of them, the packet with the marker included, and nothing of the next picture."""
    first, *middle, last = fragments(IDR)
    data = interleaved((first, {}), *((each, {}) for each in middle), (last, {"second": 96 | 0x80}))
    following = interleaved((first, {"at": 3600}))
    track = Depacketizer(96)
    begin = 4 + 12 + len(first)
    assert track.fragments(data, 0, HEAD) == 0
    track.packet(data, 4, begin)

    assert track.fragments(data + following, begin, HEAD) == len(data)
    assert track.finished == [RtpUnit(0, [IDR])]
    assert track.expected == len(middle) + 3
    assert track.lost == 0


def test_a_marker_that_is_not_to_be_trusted_ends_no_picture_here_either() -> None:
    """The camera sets it on every slice; the rest of the picture is still to come."""
    first, last = fragments(LATER_SLICE, 30)
    track = Depacketizer(96)
    for number, payload in enumerate((SLICE, LATER_SLICE), 1):
        track.packet(struct.pack(">BBHII", 0x80, 224, number, 0, SSRC) + payload, 0, 12 + len(payload))
    track.finished.clear()
    data = interleaved(
        (SLICE, {"sequence": 3, "at": 3600}),
        (first, {"sequence": 4, "at": 3600}),
        (last, {"sequence": 5, "at": 3600, "second": 96 | 0x80}),
    )
    at = 4 + 12 + len(SLICE)
    track.packet(data, 4, at)
    track.packet(data, at + 4, at + 4 + 12 + len(first))

    assert track.fragments(data, at + 4 + 12 + len(first), HEAD) == len(data)
    assert track.finished == []


@pytest.mark.parametrize(
    "unusual",
    [
        {"channel": 1},
        {"sequence": 4},
        {"at": 3600},
        {"ssrc": 1},
        {"second": 97},
        {"size": 13},
        {"size": 2000},
    ],
    ids=str,
)
def test_anything_unusual_is_left_to_be_looked_at(unusual: dict[str, int]) -> None:
    """Another channel, picture, track or number, a packet that is broken or not all there."""
    first, second, third, *_ = fragments(IDR)
    data = interleaved((first, {}), (second, {}), (third, unusual))
    track = Depacketizer(96)
    size = 4 + 12 + len(first)
    track.packet(data, 4, size)

    assert track.fragments(data, size, HEAD) == 2 * size


@pytest.mark.parametrize("payload", [SLICE, fragments(IDR)[0]])
def test_what_begins_a_nal_unit_is_no_fragment_that_goes_on(payload: bytes) -> None:
    """Whole, or the first of another one."""
    first = fragments(IDR)[0]
    data = interleaved((first, {}), (payload, {}))
    track = Depacketizer(96)
    size = 4 + 12 + len(first)
    track.packet(data, 4, size)

    assert track.fragments(data, size, HEAD) == size


def test_fragments_are_taken_in_to_the_last_byte_there_is() -> None:
    """What the next read brings begins behind it."""
    first, second, *_ = fragments(IDR)
    data = interleaved((first, {}), (second, {}))
    track = Depacketizer(96)
    size = 4 + 12 + len(first)
    track.packet(data, 4, size)

    assert track.fragments(data, size, HEAD) == len(data)


def test_fragments_without_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken in at once or not, they count; what is over the limit is given up."""
    monkeypatch.setattr(rtp, "MAX_ACCESS_UNIT_BYTES", 100)
    first, *middle, last = fragments(b"\x65\x88" + bytes(200), end=False)
    data = interleaved((first, {}), *((each, {}) for each in middle), (last, {"second": 96 | 0x80}))
    track = Depacketizer(96)
    size = 4 + 12 + len(first)
    track.packet(data, 4, size)

    at = track.fragments(data, size, HEAD)
    track.packet(data, at + 4, len(data))

    assert track.finished == [lost()]
