"""Tests of camrelay.tools.mp4, on files that libav wrote and on broken ones."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import AAC, PARAMS
from camrelay.errors import MalformedMedia
from camrelay.fanout.hls import fmp4, sound
from camrelay.tools import mp4

INIT = fmp4.init_section(PARAMS)
PART = b"".join(fmp4.fragment(7, 9000, [fmp4.Sample(b"\0\0\0\1e", 3600, 0, True)]))


def written_by_libav() -> tuple[bytes, bytes]:
    """Init section and fragments of a muxer that is not ours: defaults in tfhd and trex, few in trun."""
    file = io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(file, "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.time_base = Fraction(1, 25)
        stream.options = {"x264-params": "keyint=5:scenecut=0:bframes=0"}
        for i in range(10):
            picture = av.VideoFrame.from_ndarray(np.full((96, 64), i * 20, np.uint8), "yuv420p")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    data = file.getvalue()
    cut = next(box.start for box in mp4.boxes(data) if box.kind == b"moof")
    return data[:cut], data[cut:]


def test_reads_what_another_muxer_wrote() -> None:
    """Durations and flags that only tfhd or trex tell, sync flags of the first sample."""
    head, media = written_by_libav()

    init = mp4.read_init(head)
    fragments = [f for f in mp4.read_fragments(media, init) if f.samples]

    assert init.sample_entry == b"avc1"
    assert init.has_mvex
    assert len(fragments) == 2
    assert [[s.is_sync for s in f.samples] for f in fragments] == [[True, False, False, False, False]] * 2
    assert {s.duration for f in fragments for s in f.samples} == {init.timescale // 25}
    assert fragments[1].decode_time == fragments[0].duration
    assert all(sum(s.size for s in f.samples) == len(f.data) for f in fragments)


def test_reads_the_version_1_boxes() -> None:
    """64-bit durations, 32-bit decode times, unsigned offsets, 64-bit sizes, boxes to the end of the file."""
    mvhd = struct.pack(">IQQIQ", 1 << 24, 0, 0, 1000, 5) + bytes(80)
    assert mp4._timed(mvhd) == (1000, 5)
    tkhd = struct.pack(">IQQIIQ", 1 << 24, 0, 0, 1, 0, 6) + bytes(60)
    assert mp4._track_duration(tkhd) == 6
    assert mp4._decode_time(struct.pack(">II", 0, 77)) == 77
    assert mp4._decode_time(None) is None
    (box,) = mp4.boxes(struct.pack(">I4sQ", 1, b"free", 20) + b"abcd")
    assert box.content == b"abcd"
    (box,) = mp4.boxes(struct.pack(">I4s", 0, b"free") + b"abc")
    assert box.content == b"abc"
    run = struct.pack(">III", 0x805, 1, 8) + struct.pack(">II", 0, 5)
    assert mp4._run(run, (1, 2, 0x10000)) == [mp4.Sample(1, 2, True, 5)]
    assert mp4._defaults(struct.pack(">IIQIII", 0x3B, 1, 0, 9, 3, 4) + bytes(4), mp4.read_init(INIT)) == (
        3,
        4,
        0,
    )


@pytest.mark.parametrize(
    "broken",
    [
        b"\0\0\0",
        struct.pack(">I4s", 4, b"free"),
        struct.pack(">I4s", 100, b"free"),
        INIT[:-1],
        INIT.replace(b"trak", b"skip"),
        INIT.replace(b"avc1", b"\0\0\0\0")[:60],
        b"".join(struct.pack(">I4s", 8 * (10 - i), b"moov") for i in range(10)),
    ],
)
def test_refuses_broken_init_sections(broken: bytes) -> None:
    """Cut short, too long, without what is needed, nested without end."""
    with pytest.raises(MalformedMedia):
        mp4.read_init(broken)


@pytest.mark.parametrize(
    "broken",
    [
        PART[:-1],
        PART.replace(b"tfhd", b"skip"),
        PART.replace(b"mfhd", b"mdat"),
        PART[:20] + PART[24:],
        PART.replace(struct.pack(">II", 5, 0x02000000), struct.pack(">II", 500, 0x02000000)),
    ],
)
def test_refuses_broken_fragments(broken: bytes) -> None:
    """Whatever is wrong, it is MalformedMedia."""
    with pytest.raises(MalformedMedia):
        mp4.read_fragments(broken, mp4.read_init(INIT))


@given(st.integers(0, len(PART) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_read_or_refused(at: int, value: int) -> None:
    """Nothing else comes out of foreign bytes, and nothing takes for ever."""
    data = bytearray(PART)
    data[at] = value
    try:
        mp4.read_fragments(bytes(data), mp4.read_init(INIT))
    except MalformedMedia:
        return


def test_sound_beside_the_pictures_is_passed_over() -> None:
    """Checks are about pictures; a second track neither hides nor changes them."""
    init = mp4.read_init(fmp4.init_section(PARAMS, sound.track(AAC), sound.TRACK_ID))
    assert (init.sample_entry, init.track_id, init.timescale) == (b"avc1", fmp4.TRACK_ID, 90_000)

    heard = fmp4.SoundRun(sound.TRACK_ID, 4800, 1024, [b"heard", b"too"])
    sample = fmp4.Sample(b"\0\0\0\1e", 3600, 0, True)
    (both,) = mp4.read_fragments(b"".join(fmp4.fragment(7, 9000, [sample], heard)), init)
    (alone,) = mp4.read_fragments(PART, init)

    assert both == alone
