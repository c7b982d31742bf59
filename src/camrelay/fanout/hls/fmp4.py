"""ISO base media file format, as far as HLS wants it of one video track, with or without sound beside it.

Only writing, only bytes in and bytes out. Times are ticks of the track's timescale, which is CLOCK_RATE.
Sizes and offsets are what ISO/IEC 14496-12 gives them; numbers in brackets below are its sections.
No CMAF brand is claimed: plain fragmented MP4 is what rfc8216bis §3.1.2 asks for.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from camrelay.errors import BadParameterSet
from camrelay.model import CLOCK_RATE, Codec, VideoParams

TRACK_ID = 1

#: Sample flags [8.8.3.1]: depends on nothing; depends on others and is no place to start.
_SYNC_SAMPLE = 0x02000000
_NON_SYNC_SAMPLE = 0x01010000

#: Profiles whose avcC ends after the picture parameter sets (ISO/IEC 14496-15 §5.3.3.1.2).
_PROFILES_WITHOUT_CHROMA = {66, 77, 88}

#: Of H.265: types of parameter sets (table 7-1), bytes of hvcC before them, and that none comes in band.
_H265_VPS, _H265_SPS, _H265_PPS = 32, 33, 34
_H265_CONFIG_BYTES = 22
_COMPLETE = 0x80

IDENTITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)

# moof > mfhd, traf > tfhd, tfdt, trun [8.8.4 to 8.8.12]: all of it has a fixed size but the run of samples.
_SAMPLE = struct.Struct(">IIIi")
_FRAGMENT = struct.Struct(">I4s I4sII I4s I4sII I4sIQ I4sIIi")
_MFHD_BYTES, _TFHD_BYTES, _TFDT_BYTES, _TRUN_BYTES = 16, 16, 20, 20
_DEFAULT_BASE_IS_MOOF = 0x020000
_TFDT_VERSION_1 = 0x01000000
#: trun version 1 (signed composition offsets): data offset, and per sample duration, size, flags, offset.
_TRUN_FLAGS = 0x01000F01

# The same of sound: traf > tfhd with default duration and flags, tfdt, trun with a size per sample.
_SOUND_HEAD = struct.Struct(">I4s I4sIIII I4sIQ I4sIIi")
_SOUND_TFHD_FLAGS = 0x020028
_SOUND_TRUN_FLAGS = 0x000201


class Sample(NamedTuple):
    """One access unit inside a fragment: AVCC `data`, `duration` and composition `offset` in ticks."""

    data: bytes
    duration: int
    offset: int
    is_key: bool


class SoundRun(NamedTuple):
    """Access units of sound that follow each other; times are in the timescale of their track."""

    track_id: int
    decode_time: int
    duration: int
    units: Sequence[bytes]


def fragment(
    sequence_number: int, decode_time: int, samples: Sequence[Sample], sound: SoundRun | None = None
) -> list[bytes]:
    """A movie fragment and its data, moof and mdat, in pieces: the data is that of the samples, not a copy.

    Args:
        sequence_number: of the fragment; only its low 32 bits fit [8.8.5].
        decode_time: of the first sample, in ticks since the track began (64 bits).
        samples: at least one.
        sound: what is heard with them.
    """
    run = b"".join(
        [
            _SAMPLE.pack(s.duration, len(s.data), _SYNC_SAMPLE if s.is_key else _NON_SYNC_SAMPLE, s.offset)
            for s in samples
        ]
    )
    trun_bytes = _TRUN_BYTES + len(run)
    traf_bytes = 8 + _TFHD_BYTES + _TFDT_BYTES + trun_bytes
    moof_bytes = 8 + _MFHD_BYTES + traf_bytes
    data = [s.data for s in samples]
    sound_traf = b""
    if sound is not None:
        moof_bytes += _SOUND_HEAD.size + 4 * len(sound.units)
        sound_traf = _sound_traf(sound, moof_bytes + 8 + sum(map(len, data)))
        data += sound.units
    head = _FRAGMENT.pack(
        *(moof_bytes, b"moof"),
        *(_MFHD_BYTES, b"mfhd", 0, sequence_number & 0xFFFFFFFF),
        *(traf_bytes, b"traf"),
        *(_TFHD_BYTES, b"tfhd", _DEFAULT_BASE_IS_MOOF, TRACK_ID),
        *(_TFDT_BYTES, b"tfdt", _TFDT_VERSION_1, decode_time),
        *(trun_bytes, b"trun", _TRUN_FLAGS, len(samples), moof_bytes + 8),
    )
    mdat_bytes = 8 + sum(map(len, data))
    return [b"".join([head, run, sound_traf, struct.pack(">I4s", mdat_bytes, b"mdat")]), *data]


def _sound_traf(sound: SoundRun, data_offset: int) -> bytes:
    """A track fragment [8.8.6] whose samples differ in size only, and are all places to start."""
    count = len(sound.units)
    head = _SOUND_HEAD.pack(
        *(_SOUND_HEAD.size + 4 * count, b"traf"),
        *(24, b"tfhd", _SOUND_TFHD_FLAGS, sound.track_id, sound.duration, _SYNC_SAMPLE),
        *(_TFDT_BYTES, b"tfdt", _TFDT_VERSION_1, sound.decode_time),
        *(_TRUN_BYTES + 4 * count, b"trun", _SOUND_TRUN_FLAGS, count, data_offset),
    )
    return head + struct.pack(f">{count}I", *map(len, sound.units))


def init_section(params: VideoParams, sound_track: bytes = b"", sound_track_id: int = 0) -> bytes:
    """The initialisation section every fragment of this stream is decoded with: ftyp and moov.

    Args:
        sound_track: the trak of the sound that goes with it, and its id.

    Raises:
        BadParameterSet: a parameter set is missing, cut short or too large for an avcC or hvcC.
    """
    return box(b"ftyp", b"iso6", u32(0), b"iso6", b"mp41") + box(
        b"moov",
        full_box(
            b"mvhd",
            struct.pack(">4I", 0, 0, CLOCK_RATE, 0),
            struct.pack(">IH10x", 0x10000, 0x100),
            IDENTITY_MATRIX,
            bytes(24),
            u32(max(TRACK_ID, sound_track_id) + 1),
        ),
        _trak(params),
        sound_track,
        box(b"mvex", *(full_box(b"trex", _trex(id)) for id in (TRACK_ID, sound_track_id) if id)),
    )


def _trex(track_id: int) -> bytes:
    """What a track of mvex says [8.8.3]: sample description 1, no defaults, as fragments bring their own."""
    return struct.pack(">5I", track_id, 1, 0, 0, 0)


def _trak(params: VideoParams) -> bytes:
    """One enabled video track that has no samples of its own [8.3.1]."""
    enabled_in_movie = 0x000003
    return box(
        b"trak",
        full_box(
            b"tkhd",
            struct.pack(">5I", 0, 0, TRACK_ID, 0, 0),
            bytes(16),
            IDENTITY_MATRIX,
            struct.pack(">II", params.width << 16, params.height << 16),
            flags=enabled_in_movie,
        ),
        box(
            b"mdia",
            full_box(b"mdhd", struct.pack(">4I2H", 0, 0, CLOCK_RATE, 0, 0x55C4, 0)),
            full_box(b"hdlr", u32(0), b"vide", bytes(12), b"video\0"),
            box(
                b"minf",
                full_box(b"vmhd", bytes(8), flags=1),
                box(b"dinf", full_box(b"dref", u32(1), full_box(b"url ", flags=1))),
                box(
                    b"stbl",
                    full_box(b"stsd", u32(1), _sample_entry(params)),
                    full_box(b"stts", u32(0)),
                    full_box(b"stsc", u32(0)),
                    full_box(b"stsz", u32(0), u32(0)),
                    full_box(b"stco", u32(0)),
                ),
            ),
        ),
    )


def _sample_entry(params: VideoParams) -> bytes:
    """72 dpi, one picture per sample, 24 bit colour [12.1.3], parameter sets in avcC or hvcC only."""
    is_h265 = params.codec is Codec.H265
    configuration = (
        box(b"hvcC", _h265_configuration(params)) if is_h265 else box(b"avcC", _decoder_configuration(params))
    )
    return box(
        b"hvc1" if is_h265 else b"avc1",
        struct.pack(">6xH16xHH", 1, params.width, params.height),
        struct.pack(">IIIH32xHh", 0x480000, 0x480000, 0, 1, 24, -1),
        configuration,
    )


def _h265_configuration(params: VideoParams) -> bytes:
    """HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 §8.3.3.1.2): every parameter set is in it."""
    sets = ((_H265_VPS, params.vps), (_H265_SPS, params.sps), (_H265_PPS, params.pps))
    if len(params.config) != _H265_CONFIG_BYTES or not all(nal_units for _, nal_units in sets):
        raise BadParameterSet("a parameter set of H.265 is missing")
    out = bytearray(params.config)
    out.append(len(sets))
    for kind, nal_units in sets:
        out += bytes((_COMPLETE | kind,)) + len(nal_units).to_bytes(2, "big")
        for nal_unit in nal_units:
            if len(nal_unit) > 0xFFFF:
                raise BadParameterSet("a parameter set is over 64 KiB")
            out += len(nal_unit).to_bytes(2, "big") + nal_unit
    return bytes(out)


def _decoder_configuration(params: VideoParams) -> bytes:
    """AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1.2) with 4-byte NAL unit lengths."""
    if not 1 <= len(params.sps) <= 31 or not 1 <= len(params.pps) <= 255:
        raise BadParameterSet(f"{len(params.sps)} SPS and {len(params.pps)} PPS do not fit an avcC")
    if any(not 4 <= len(n) <= 0xFFFF for n in params.sps) or any(len(n) > 0xFFFF for n in params.pps):
        raise BadParameterSet("a parameter set is cut short or over 64 KiB")
    profile_idc = params.sps[0][1]
    out = bytearray([1, *params.profile_level_id, 0xFC | 3, 0xE0 | len(params.sps)])
    for nal_unit in params.sps:
        out += len(nal_unit).to_bytes(2, "big") + nal_unit
    out.append(len(params.pps))
    for nal_unit in params.pps:
        out += len(nal_unit).to_bytes(2, "big") + nal_unit
    if profile_idc not in _PROFILES_WITHOUT_CHROMA:
        chroma_format, luma_depth, chroma_depth = _chroma(params.sps[0])
        out += bytes([0xFC | chroma_format, 0xF8 | luma_depth, 0xF8 | chroma_depth, 0])
    return bytes(out)


def _chroma(sps: bytes) -> tuple[int, int, int]:
    """chroma_format_idc and both bit depths less 8, the SPS fields after its id (H.264 §7.3.2.1.1).

    Raises:
        BadParameterSet: the SPS ends before them, or a value is out of its range.
    """
    # 16 bytes hold these four short codes however they are spelled, emulation prevention included (§7.4.1).
    rbsp = sps[4:20].replace(b"\0\0\3", b"\0\0")
    bits = "".join(f"{byte:08b}" for byte in rbsp)
    at = 0

    def ue() -> int:
        nonlocal at
        one = bits.find("1", at)
        end = 2 * one - at + 1
        if one < 0 or end > len(bits):
            raise BadParameterSet("SPS ends within its chroma format")
        value = int(bits[one:end], 2) - 1
        at = end
        return value

    ue()  # seq_parameter_set_id
    chroma_format = ue()
    if chroma_format == 3:
        at += 1  # separate_colour_plane_flag
    luma_depth, chroma_depth = ue(), ue()
    if chroma_format > 3 or luma_depth > 6 or chroma_depth > 6:
        raise BadParameterSet("SPS names a chroma format that does not exist")
    return chroma_format, luma_depth, chroma_depth


def box(kind: bytes, *content: bytes) -> bytes:
    """A box [4.2]."""
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, *content: bytes, flags: int = 0) -> bytes:
    """A box that begins with version 0 and flags [4.2]."""
    return box(kind, u32(flags), *content)


def u32(value: int) -> bytes:
    """Four bytes, big-endian."""
    return value.to_bytes(4, "big")
