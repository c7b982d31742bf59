"""Tests of camrelay.fanout.hls.fmp4."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import msgspec
import numpy as np
import pytest

from builders import H265_PARAMS, PARAMS, PPS, SPS_360P, SPS_720P, make_params
from camrelay.errors import BadParameterSet
from camrelay.fanout.hls import fmp4
from camrelay.model import CLOCK_RATE, VideoParams
from camrelay.tools import mp4

SPS_BASELINE = bytes.fromhex("6742c01eda0280bfe584000003000400000300ca3c58ba80")
#: High 4:4:4 Predictive, chroma_format_idc 3 (then separate_colour_plane_flag 0), both depths 8 bit.
SPS_444 = bytes.fromhex("67f4001e91b2") + SPS_360P[6:]
SAMPLE = fmp4.Sample(b"\0\0\0\2\x65\x88", 3600, 0, True)


class TestInitSection:
    def test_is_what_hls_asks_of_it(self) -> None:
        """rfc8216bis §3.1.2: brand iso6 or later, no durations, no samples, mvex."""
        init = mp4.read_init(fmp4.init_section(PARAMS))

        assert b"iso6" in init.brands
        assert init.timescale == CLOCK_RATE
        assert init.sample_entry == b"avc1"
        assert set(init.durations) == {0}
        assert set(init.sample_counts) == {0}
        assert init.has_mvex

    @pytest.mark.parametrize(
        ("sps", "tail"),
        [
            (SPS_360P, b"\xfd\xf8\xf8\x00"),
            (SPS_720P, b"\xfd\xf8\xf8\x00"),
            (SPS_444, b"\xff\xf8\xf8\x00"),
            (SPS_BASELINE, b""),
        ],
    )
    def test_avcc_holds_parameter_sets_and_chroma(self, sps: bytes, tail: bytes) -> None:
        """ISO/IEC 14496-15 §5.3.3.1.2: High profiles name chroma format and bit depths, others end before."""
        init = mp4.read_init(fmp4.init_section(make_params(sps=sps)))

        sets = struct.pack(">H", len(sps)) + sps + b"\1" + struct.pack(">H", len(PPS)) + PPS
        assert init.avcc == b"\1" + sps[1:4] + b"\xff\xe1" + sets + tail

    @pytest.mark.parametrize(
        "broken",
        [
            {"sps": ()},
            {"pps": ()},
            {"sps": (SPS_360P,) * 32},
            {"pps": (PPS,) * 256},
            {"sps": (SPS_360P[:3],)},
            {"sps": (SPS_360P[:4],)},
            {"sps": (SPS_360P[:4] + b"\0" * 20,)},
            {"sps": (SPS_360P[:4] + b"\x84\x1f",)},
            {"sps": (SPS_360P[:4] + b"\xa8\x1f",)},
            {"pps": (b"\x68" * 65_536,)},
        ],
    )
    def test_refuses_parameter_sets_it_cannot_write(self, broken: dict[str, tuple[bytes, ...]]) -> None:
        """Cut short, too many, too long, or with values that do not exist: never a wrong avcC."""
        with pytest.raises(BadParameterSet):
            fmp4.init_section(msgspec.structs.replace(PARAMS, **broken))

    def test_h265_has_an_entry_of_its_own(self) -> None:
        """hvc1, with every parameter set in hvcC (ISO/IEC 14496-15 §8.3.3.1.2)."""
        data = fmp4.init_section(H265_PARAMS)

        assert b"avc1" not in data
        assert b"hvc1" in data
        at = data.index(b"hvcC") + 4
        record = data[at : at + int.from_bytes(data[at - 8 : at - 4], "big") - 8]
        sets = [(0xA0, *H265_PARAMS.vps), (0xA1, *H265_PARAMS.sps), (0xA2, *H265_PARAMS.pps)]
        arrays = [bytes((kind, 0, 1)) + len(unit).to_bytes(2, "big") + unit for kind, unit in sets]
        assert record == H265_PARAMS.config + b"\3" + b"".join(arrays)

    @pytest.mark.parametrize("broken", [{"config": b""}, {"vps": ()}, {"pps": (bytes(65_536),)}])
    def test_refuses_parameter_sets_of_h265_it_cannot_write(self, broken: dict[str, object]) -> None:
        """Never a wrong hvcC."""
        with pytest.raises(BadParameterSet):
            fmp4.init_section(msgspec.structs.replace(H265_PARAMS, **broken))


class TestFragment:
    def test_sound_stands_behind_the_pictures(self) -> None:
        """A track fragment of its own, whose run begins where the data of the pictures ends."""
        units = [b"one", b"second"]

        data = b"".join(fmp4.fragment(1, 0, [SAMPLE], fmp4.SoundRun(2, 5_000, 1024, units)))

        traf = data.rindex(b"traf")
        track, duration = struct.unpack_from(">8xII", data, data.index(b"tfhd", traf))
        (time,) = struct.unpack_from(">Q", data, data.index(b"tfdt", traf) + 8)
        count, offset, *sizes = struct.unpack_from(">IiII", data, data.index(b"trun", traf) + 8)
        assert (track, duration, time, count, sizes) == (2, 1024, 5_000, 2, [3, 6])
        assert data[offset:] == b"onesecond"
        assert data[offset - len(SAMPLE.data) : offset] == SAMPLE.data
        (pictures,) = mp4.read_fragments(data, mp4.read_init(fmp4.init_section(PARAMS)))
        assert pictures.samples == (mp4.Sample(3600, 6, True, 0),)

    def test_reads_back_as_it_was_written(self) -> None:
        """64-bit decode time, addressing from the moof, signed offsets, sync flags, data in order."""
        samples = [SAMPLE, fmp4.Sample(b"\0\0\0\1\x41", 3000, -7200, False)]
        init = mp4.read_init(fmp4.init_section(PARAMS))

        (fragment,) = mp4.read_fragments(b"".join(fmp4.fragment(2**32 + 7, 2**40, samples)), init)

        assert fragment.sequence_number == 7
        assert fragment.decode_time == 2**40
        assert fragment.is_moof_based
        assert fragment.data == samples[0].data + samples[1].data
        assert fragment.samples == (mp4.Sample(3600, 6, True, 0), mp4.Sample(3000, 5, False, -7200))

    def test_holds_what_it_was_given_and_copies_nothing(self) -> None:
        """Access units are in the ring, too; their bytes are there once."""
        _, *pieces = fmp4.fragment(1, 0, [SAMPLE, SAMPLE])

        assert all(piece is SAMPLE.data for piece in pieces)
        assert len(pieces) == 2

    def test_segments_are_fragments_one_after_the_other(self) -> None:
        """A segment is the concatenation of its parts."""
        init = mp4.read_init(fmp4.init_section(PARAMS))
        parts = [b"".join(fmp4.fragment(i, i * 3600, [SAMPLE])) for i in range(3)]

        fragments = mp4.read_fragments(b"".join(parts), init)

        assert [f.decode_time for f in fragments] == [0, 3600, 7200]

    def test_libav_decodes_it(self) -> None:
        """An independent reader finds every picture at its time, B-frames in order."""
        units, params = encode(pictures=20, bframes=2)
        data = fmp4.init_section(params)
        for i in range(0, 20, 5):
            part = [fmp4.Sample(u[3], 3600, u[0] - u[1], u[2]) for u in units[i : i + 5]]
            data += b"".join(fmp4.fragment(i, units[i][1] + 2**33, part))

        with av.open(io.BytesIO(data)) as container:
            pictures = list(container.decode(video=0))

        assert len(pictures) == 20
        times = [p.pts for p in pictures if p.pts is not None]
        assert [t - times[0] for t in times] == [i * 3600 for i in range(20)]
        assert (pictures[0].width, pictures[0].height) == (640, 360)


def encode(*, pictures: int, bframes: int) -> tuple[list[tuple[int, int, bool, bytes]], VideoParams]:
    """Pictures as x264 codes them: (pts, dts >= 0, is_key, AVCC) and their parameters."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 640, 360, "yuv420p"
    context.time_base, context.framerate = Fraction(1, CLOCK_RATE), Fraction(25)
    context.options = {"preset": "veryfast", "x264-params": f"keyint=10:bframes={bframes}:scenecut=0"}
    packets = []
    for i in range(pictures):
        frame = av.VideoFrame.from_ndarray(np.full((540, 640), i * 10, np.uint8), "yuv420p")
        frame.pts, frame.time_base = i * 3600, Fraction(1, CLOCK_RATE)
        packets += context.encode(frame)
    packets += context.encode(None)
    units, sets = [], {}
    for packet in packets:
        data = b""
        for nal_unit in bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]:
            if nal_unit[0] & 31 in (7, 8):
                sets[nal_unit[0] & 31] = nal_unit
            else:
                data += len(nal_unit).to_bytes(4, "big") + nal_unit
        units.append((int(packet.pts or 0), int(packet.dts or 0), packet.is_keyframe, data))
    start = units[0][1]
    units = [(pts - start, dts - start, is_key, data) for pts, dts, is_key, data in units]
    return units, msgspec.structs.replace(PARAMS, sps=(sets[7],), pps=(sets[8],))
