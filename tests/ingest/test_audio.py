"""Tests of camrelay.ingest.audio: sound out of RTP, and nothing out of noise."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import AAC, OPUS, PCMA
from camrelay.ingest.audio import MAX_UNIT_BYTES, SoundDepacketizer, params_of
from camrelay.ingest.sdp import Track
from camrelay.model import AudioCodec, AudioParams

FORMAT = {"mode": "AAC-hbr", "config": "1188"}


def packet(
    payload: bytes, sequence: int = 1, timestamp: int = 0, *, payload_type: int = 97, ssrc: int = 5
) -> bytes:
    return struct.pack(">BBHII", 0x80, payload_type, sequence, timestamp, ssrc) + payload


def aac(*units: bytes, sizes: tuple[int, ...] = ()) -> bytes:
    heads = b"".join((size << 3).to_bytes(2, "big") for size in sizes or map(len, units))
    return (8 * len(heads)).to_bytes(2, "big") + heads + b"".join(units)


def take(depacketizer: SoundDepacketizer, *packets: bytes) -> list[tuple[int, int, bytes]]:
    for each in packets:
        depacketizer.packet(each, 0, len(each))
    return [tuple(unit) for unit in depacketizer.finished]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("track", "params"),
    [
        (Track("audio", "PCMA", 8, 8_000), PCMA),
        (Track("audio", "PCMU", 0, 8_000), AudioParams(AudioCodec.PCMU, 8_000, 1)),
        (Track("audio", "OPUS", 98, 48_000), OPUS),
        (Track("audio", "MPEG4-GENERIC", 97, 48_000, format=FORMAT), AAC),
        (
            Track("audio", "MPEG4-GENERIC", 97, 16_000, format={**FORMAT, "config": "1410"}),
            AudioParams(AudioCodec.AAC, 16_000, 2, bytes.fromhex("1410")),
        ),
        # HE-AAC, six channels, short access units, another mode, no configuration.
        (Track("audio", "MPEG4-GENERIC", 97, format={**FORMAT, "config": "2b11"}), None),
        (Track("audio", "MPEG4-GENERIC", 97, format={**FORMAT, "config": "11b0"}), None),
        (Track("audio", "MPEG4-GENERIC", 97, format={**FORMAT, "config": "118c"}), None),
        (Track("audio", "MPEG4-GENERIC", 97, format={**FORMAT, "mode": "AAC-lbr"}), None),
        (Track("audio", "MPEG4-GENERIC", 97, format={**FORMAT, "config": "xyz"}), None),
        (Track("audio", "MPEG4-GENERIC", 97, format={"mode": "AAC-hbr"}), None),
        (Track("audio", "PCMA", 8, 16_000), None),
        (Track("audio", "G726-32", 99, 8_000), None),
        (Track("video", "PCMA", 8, 8_000), None),
    ],
)
def test_what_is_relayed_is_known_from_the_sdp(track: Track, params: AudioParams | None) -> None:
    """Everything else is a camera without sound."""
    assert params_of(track) == params


class TestAac:
    def test_several_access_units_in_a_packet_follow_each_other(self) -> None:
        """1024 samples apart, across a wrap too."""
        units = take(SoundDepacketizer(AAC, 97), packet(aac(b"one", b"three"), timestamp=0xFFFFFFFF))
        assert units == [(0xFFFFFFFF, 1024, b"one"), (0xFFFFFFFF + 1024, 1024, b"three")]

    def test_an_access_unit_in_parts_is_put_together(self) -> None:
        """RFC 3640 §3.1: parts have the size of the whole, and one timestamp."""
        depacketizer = SoundDepacketizer(AAC, 97)
        assert take(depacketizer, packet(aac(b"abcd", sizes=(6,)), 1, 7)) == []
        assert take(depacketizer, packet(aac(b"ef", sizes=(6,)), 2, 7)) == [(7, 1024, b"abcdef")]

    def test_a_part_that_is_lost_costs_its_access_unit(self) -> None:
        """The next one begins anew."""
        depacketizer = SoundDepacketizer(AAC, 97)
        take(depacketizer, packet(aac(b"abcd", sizes=(9,)), 1, 7))
        take(depacketizer, packet(aac(b"klmn", sizes=(7,)), 3, 8), packet(aac(b"opqr", sizes=(7,)), 4, 8))
        assert depacketizer.finished == []
        assert depacketizer.dropped == 1

    @pytest.mark.parametrize(
        "payload",
        [
            b"\x00",
            b"\x00\x00rest",
            b"\x00\x11\x00\x00\x00",
            b"\x00\x10\x00\x18",
            aac(b"", b"x"),
            aac(b"ab", b"cd", sizes=(2, 3)),
            aac(*[b"x"] * 65),
        ],
    )
    def test_what_does_not_add_up_is_left_out(self, payload: bytes) -> None:
        """And counted."""
        depacketizer = SoundDepacketizer(AAC, 97)
        take(depacketizer, packet(payload))
        assert depacketizer.dropped == 1


class TestOpus:
    @pytest.mark.parametrize(
        ("first", "samples"),
        [
            (b"\x08", 960),
            (b"\x18", 2880),
            (b"\x60", 480),
            (b"\x78", 960),
            (b"\x80", 120),
            (b"\xf9", 1920),
            (b"\xfb\x03", 2880),
        ],
    )
    def test_a_packet_tells_how_long_it_lasts(self, first: bytes, samples: int) -> None:
        """By its first byte or two (RFC 6716 §3.1)."""
        payload = first + b"opus"
        assert take(SoundDepacketizer(OPUS, 98), packet(payload, payload_type=98)) == [(0, samples, payload)]

    @pytest.mark.parametrize("payload", [b"\xfb", b"\x1b\x3f"])
    def test_a_length_that_cannot_be_is_no_opus(self, payload: bytes) -> None:
        """More than 120 ms, or none."""
        depacketizer = SoundDepacketizer(OPUS, 98)
        assert take(depacketizer, packet(payload, payload_type=98)) == []
        assert depacketizer.dropped == 1


class TestPackets:
    def test_samples_are_counted(self) -> None:
        """One byte each."""
        assert take(SoundDepacketizer(PCMA, 8), packet(bytes(160), payload_type=8)) == [(0, 160, bytes(160))]

    def test_more_than_a_second_is_noise(self) -> None:
        """And counted."""
        depacketizer = SoundDepacketizer(PCMA, 8)
        assert take(depacketizer, packet(bytes(MAX_UNIT_BYTES + 1), payload_type=8)) == []
        assert depacketizer.dropped == 1

    def test_late_and_repeated_packets_are_left_out(self) -> None:
        """Until the camera goes on from where it claims to be."""
        depacketizer = SoundDepacketizer(PCMA, 8)
        packets = [
            packet(bytes((n,)), sequence, n, payload_type=8) for n, sequence in enumerate((9, 10, 4, 5))
        ]
        assert [unit[0] for unit in take(depacketizer, *packets)] == [0, 1, 3]
        assert depacketizer.dropped == 1

    def test_another_source_starts_over(self) -> None:
        """A camera that restarts its encoder."""
        packets = [packet(b"x", 100, payload_type=8), packet(b"y", 3, payload_type=8, ssrc=6)]
        assert len(take(SoundDepacketizer(PCMA, 8), *packets)) == 2

    @pytest.mark.parametrize("data", [b"", b"\x80\x08", bytes(12), packet(b"", payload_type=8)])
    def test_what_is_no_sound_is_counted(self, data: bytes) -> None:
        """RTP of another version, cut off, or empty."""
        depacketizer = SoundDepacketizer(PCMA, 8)
        assert take(depacketizer, data) == []
        assert depacketizer.dropped == 1

    def test_other_payload_types_are_somebody_elses(self) -> None:
        """Comfort noise, for example."""
        depacketizer = SoundDepacketizer(PCMA, 8)
        assert take(depacketizer, packet(b"x", payload_type=13)) == []
        assert depacketizer.dropped == 0

    @given(st.sampled_from((AAC, OPUS, PCMA)), st.lists(st.binary(max_size=60)))
    def test_noise_brings_nothing_down(self, params: AudioParams, noise: list[bytes]) -> None:
        """Whatever the bytes are."""
        depacketizer = SoundDepacketizer(params, 0)
        for data in noise:
            depacketizer.packet(b"\x80\x00" + data, 0, len(data) + 2)
