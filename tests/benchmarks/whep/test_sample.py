"""Opened viewers: access units, the camera's clock, pictures."""

from __future__ import annotations

import struct
import time

import pytest

from benchmarks.whep.sample import Sample
from camrelay.simulate.clip import Clip, encode
from camrelay.simulate.clock import sei_nal_unit
from camrelay.simulate.options import Picture


class Open:
    """Packets that were never closed."""

    def rtp(self, packet: bytes) -> bytes:
        return packet


@pytest.fixture(scope="module")
def clip() -> Clip:
    return encode(Picture(width=64, height=64, bitrate_bps=100_000, gop_pictures=10, fps=10), "CAM1")


def stap_a(units: list[bytes]) -> bytes:
    return b"\x18" + b"".join(struct.pack("!H", len(unit)) + unit for unit in units)


def fu_a(unit: bytes, size: int = 50) -> list[bytes]:
    indicator, kind = bytes((unit[0] & 0xE0 | 28,)), unit[0] & 31
    pieces = [unit[1 + i : 1 + i + size] for i in range(0, len(unit) - 1, size)]
    flags = [0x80 * (i == 0) | 0x40 * (i == len(pieces) - 1) for i in range(len(pieces))]
    return [indicator + bytes((flag | kind,)) + piece for flag, piece in zip(flags, pieces, strict=True)]


def packets(clip: Clip, sent_us: int) -> list[bytes]:
    """Every way H.264 is put into RTP: STAP-A for the small ones, FU-A for the slices."""
    found: list[bytes] = []
    for picture in clip.pictures:
        small = [unit for unit in picture.nal_units if unit[0] & 31 in (7, 8)]
        payloads = [stap_a([*small, sei_nal_unit(sent_us)])]
        for unit in picture.nal_units:
            if unit[0] & 31 not in (7, 8):
                payloads += fu_a(unit) if len(unit) > 100 else [unit]
        for index, payload in enumerate(payloads):
            marker = 0x80 * (index == len(payloads) - 1)
            found.append(struct.pack("!BBHII", 0x80, 96 | marker, len(found), 0, 1) + payload)
    return found


def test_every_access_unit_is_put_together_timed_and_decoded(clip: Clip) -> None:
    """As many pictures as were encoded, and the delay the clock says."""
    now = time.time_ns()
    sample = Sample(Open(), decode=True)
    for packet in packets(clip, sent_us=now // 1000 - 25_000):
        sample.packet(packet, now)
    assert sample.access_units == len(clip.pictures)
    assert sample.broken == sample.decode_errors == 0
    assert sample.decoded >= 50 or sample.decoded >= len(clip.pictures) - 2
    assert sample.delays_s == pytest.approx([0.025] * len(clip.pictures), abs=0.001)
    assert sample.first_key_frame_ns == now
    assert list(sample.clocks) == [(0, now // 1000 - 25_000)] * len(clip.pictures)


def test_a_lost_packet_breaks_its_access_unit_and_no_other(clip: Clip) -> None:
    """It is counted as broken, and gives no delay."""
    everything = packets(clip, sent_us=1)
    sample = Sample(Open(), decode=False)
    for packet in everything[:3] + everything[4:]:
        sample.packet(packet, time.time_ns())
    assert sample.broken == 1
    assert len(sample.delays_s) == sample.access_units == len(clip.pictures) - 1
