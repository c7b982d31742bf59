"""Tests of camrelay.ingest.sound_clock: sound stays with its pictures, whatever the camera claims."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from camrelay.ingest.sound_clock import (
    MAX_DRIFT,
    MAX_JITTER,
    MAX_TRUSTED,
    SenderReports,
    SoundClock,
    on_video_clock,
)
from camrelay.model import CLOCK_RATE

NOW = 100 * CLOCK_RATE
STEP = 1920


def report(seconds: int, timestamp: int, kind: int = 200) -> bytes:
    return struct.pack(">BBHIIII", 0x80, kind, 6, 1, seconds, 0, timestamp) + bytes(8)


def heard(*packets: bytes) -> SenderReports:
    reports = SenderReports()
    for packet in packets:
        reports.packet(packet, 0, len(packet))
    return reports


class TestReports:
    def test_two_clocks_are_tied_together(self) -> None:
        """A second of 48 kHz after its report, which came two seconds after the video's."""
        sound, video = heard(report(12, 0xFFFFFFFF)), heard(report(10, 1000))
        assert on_video_clock(47_999, 48_000, sound, video) == 1000 + 3 * CLOCK_RATE

    def test_without_both_nothing_is_known(self) -> None:
        """Also with reports that are none: receiver reports, a wall clock at zero, a cut."""
        known = heard(report(10, 0))
        for unknown in (heard(), heard(report(9, 1, 201)), heard(report(0, 1)), heard(report(9, 1)[:19])):
            assert on_video_clock(0, 8_000, known, unknown) is None
            assert on_video_clock(0, 8_000, unknown, known) is None


class TestSoundClock:
    def test_steps_are_the_sounds_own(self) -> None:
        """Arrival jitter does not touch them, and no rounding adds up."""
        clock = SoundClock(44_100)
        jitter = (0, 30_000, -20_000)
        placed = [
            clock.place(
                n * 1024, 1024, wanted=None, arrived=NOW + n * 1024 * CLOCK_RATE // 44_100 + jitter[n % 3]
            )
            for n in range(1000)
        ]
        assert placed == [NOW + n * 1024 * CLOCK_RATE // 44_100 for n in range(1000)]

    def test_reports_are_believed_as_long_as_they_make_sense(self) -> None:
        """Within two seconds of the arrival; beyond it the arrival counts."""
        clock = SoundClock(48_000)
        assert clock.place(0, 1024, wanted=NOW - 9000, arrived=NOW) == NOW - 9000
        assert (
            clock.place(1024, 1024, wanted=NOW + MAX_TRUSTED + 1 + STEP, arrived=NOW + STEP)
            == NOW - 9000 + STEP
        )
        lost = SoundClock(48_000)
        assert lost.place(0, 1024, wanted=NOW - MAX_TRUSTED - 1, arrived=NOW) == NOW

    def test_a_clock_that_drifts_is_moved(self) -> None:
        """By reports sooner than by arrivals."""
        clock = SoundClock(48_000)
        clock.place(0, 1024, wanted=NOW, arrived=NOW)
        assert clock.place(1024, 1024, wanted=NOW + STEP + MAX_DRIFT, arrived=NOW) == NOW + STEP
        moved = NOW + 2 * STEP + MAX_DRIFT + 1
        assert clock.place(2048, 1024, wanted=moved, arrived=NOW) == moved
        late = moved + STEP + MAX_JITTER + 1
        assert clock.place(3072, 1024, wanted=None, arrived=late) == late

    def test_time_is_given_once(self) -> None:
        """Sound that is moved back is left out until its time is free again."""
        clock = SoundClock(48_000)
        clock.place(0, 1024, wanted=NOW, arrived=NOW)
        back = NOW - MAX_DRIFT - 10
        placed = [clock.place(1024 * n, 1024, wanted=back + STEP * n, arrived=NOW) for n in range(1, 9)]
        assert placed[0] is None
        times = [pts for pts in placed if pts is not None]
        assert times
        assert all(b - a >= STEP for a, b in zip([NOW, *times], times, strict=False))

    @given(st.lists(st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, 5000)), min_size=1))
    def test_wild_timestamps_stay_near_their_arrival(self, sounds: list[tuple[int, int]]) -> None:
        """And never go back by more than half of what is heard."""
        clock, arrived, end = SoundClock(48_000), NOW, 0
        for timestamp, wait in sounds:
            arrived += wait
            pts = clock.place(timestamp, 960, wanted=None, arrived=arrived)
            if pts is not None:
                assert abs(pts - arrived) <= MAX_JITTER
                assert pts >= end - 900
                end = pts + 1800
