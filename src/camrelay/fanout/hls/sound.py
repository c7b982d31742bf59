"""AAC beside the pictures: its track in the init section, and what of it goes into which part.

Players wait where either track ends, so that sound which is late or missing would hold up the pictures. What
does not come is therefore replaced by silence, and what comes for a time that is over is left out. Times are
counted in whole access units: the track has neither gaps nor overlaps, and follows the camera's clock by
leaving out or adding one from time to time.

Numbers in brackets are sections of ISO/IEC 14496-12.
"""

from __future__ import annotations

import struct

from camrelay.fanout.hls.fmp4 import IDENTITY_MATRIX, SoundRun, box, full_box, u32
from camrelay.model import CLOCK_RATE, AudioParams

TRACK_ID = 2

#: Samples of an access unit.
SAMPLES = 1024
#: Sound may be this much later than the pictures of its time before it counts as missing.
LATE_S = 0.5
#: Sound of a time this far ahead of the pictures is a mistake.
EARLY_S = 2.0

#: An access unit in which every channel has global gain 0 and no scale factor band (ISO/IEC 14496-3 §4.4.2.1,
#: Table 4.3): one single channel element, or one channel pair element without a common window.
_SILENCE = {1: bytes.fromhex("00000007"), 2: bytes.fromhex("2000000000000e")}


def track(params: AudioParams) -> bytes:
    """The trak and the trex of the sound, for fmp4.init_section."""
    return box(
        b"trak",
        full_box(
            b"tkhd",
            struct.pack(">5I", 0, 0, TRACK_ID, 0, 0),
            # Layer, alternate group, full volume.
            struct.pack(">8xHHHH", 0, 0, 0x100, 0),
            IDENTITY_MATRIX,
            bytes(8),
            flags=0x000003,
        ),
        box(
            b"mdia",
            full_box(b"mdhd", struct.pack(">4I2H", 0, 0, params.clock_rate, 0, 0x55C4, 0)),
            full_box(b"hdlr", u32(0), b"soun", bytes(12), b"sound\0"),
            box(
                b"minf",
                full_box(b"smhd", bytes(4)),
                box(b"dinf", full_box(b"dref", u32(1), full_box(b"url ", flags=1))),
                box(
                    b"stbl",
                    full_box(b"stsd", u32(1), _mp4a(params)),
                    full_box(b"stts", u32(0)),
                    full_box(b"stsc", u32(0)),
                    full_box(b"stsz", u32(0), u32(0)),
                    full_box(b"stco", u32(0)),
                ),
            ),
        ),
    )


def _mp4a(params: AudioParams) -> bytes:
    """The sample entry [12.2.3] with its esds (ISO/IEC 14496-14 §5.6)."""
    rate = params.clock_rate if params.clock_rate <= 0xFFFF else 0
    decoder = _descriptor(4, struct.pack(">BB11x", 0x40, 0x15), _descriptor(5, params.config))
    return box(
        b"mp4a",
        struct.pack(">6xH8xHHIHH", 1, params.channels, 16, 0, rate, 0),
        full_box(b"esds", _descriptor(3, bytes(3), decoder, _descriptor(6, b"\x02"))),
    )


def _descriptor(tag: int, *content: bytes) -> bytes:
    """ISO/IEC 14496-1 §7.2.2; a configuration has a few bytes, so one is enough for the length."""
    body = b"".join(content)
    return bytes((tag, len(body))) + body


class Soundtrack:
    """The sound of one stretch of pictures.

    Args:
        params: of AAC.
        begin: where the pictures begin, in ticks of the video track.
    """

    def __init__(self, params: AudioParams, begin: int) -> None:
        self._rate = params.clock_rate
        self._silence = _SILENCE[params.channels]
        #: Where the next part's sound begins, in samples.
        self._begin = self._samples(begin)
        self._units: list[bytes] = []
        self._video_end = self._begin
        self._is_missing = False

    def add(self, pts: int, data: bytes) -> bool:
        """Takes an access unit that belongs to `pts`, in ticks of the video track; False without room."""
        self._is_missing = False
        apart = self._samples(pts) - self._end
        is_early = self._samples(pts) > self._video_end + EARLY_S * self._rate
        if apart < -SAMPLES // 2 or is_early:
            return False
        self._units += [self._silence] * ((apart + SAMPLES // 2) // SAMPLES)
        self._units.append(data)
        return True

    def take(self, end: int) -> SoundRun | None:
        """What goes into a part whose pictures end at `end`; None when that is nothing."""
        self._video_end = self._samples(end)
        missing = self._video_end - self._end
        if missing > LATE_S * self._rate:
            self._is_missing = True
        if self._is_missing:
            self._units += [self._silence] * (missing // SAMPLES)
        if not self._units:
            return None
        run = SoundRun(TRACK_ID, self._begin, SAMPLES, self._units)
        self._begin, self._units = self._end, []
        return run

    @property
    def _end(self) -> int:
        return self._begin + len(self._units) * SAMPLES

    def _samples(self, ticks: int) -> int:
        return ticks * self._rate // CLOCK_RATE
