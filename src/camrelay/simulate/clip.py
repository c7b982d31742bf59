"""Encodes the loop a simulated camera plays, once per kind of picture, and keeps it on disk.

The only place of the simulator that knows an encoder. A clip is a whole number of closed GOPs, so its end
joins its beginning.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec

from camrelay.simulate.options import Picture
from camrelay.simulate.picture import Painter

#: Part of the cache's key: counts up when the same options would no longer give the same clip.
_VERSION = 1

#: A loop lasts at least this long: the clock is seen running, and the encoder has time to find the bit rate.
_LOOP_S = 10

#: NAL unit types (H.264 table 7-1): SPS, PPS, and SEI and delimiters, which are left out.
_SPS, _PPS = 7, 8
_LEFT_OUT = frozenset({6, 9})
#: The same of H.265 (table 7-1).
_H265_VPS, _H265_SPS, _H265_PPS = 32, 33, 34
_H265_LEFT_OUT = frozenset({35, 39, 40})

_START_CODE = re.compile(rb"\x00*\x00\x00\x01")


class CodedPicture(msgspec.Struct, frozen=True):
    """One access unit as the encoder made it, in decoding order.

    `nal_units` are without start codes; a key frame's begin with its parameter sets. `delay` is how many
    picture intervals lie between the taking of the picture and its sending: 0 without B-frames.
    """

    nal_units: tuple[bytes, ...]
    is_key: bool
    delay: int


class Clip(msgspec.Struct, frozen=True):
    """A loop of pictures; the first is a key frame. `vps` is b"" of H.264."""

    sps: bytes
    pps: bytes
    pictures: tuple[CodedPicture, ...]
    vps: bytes = b""


def clip(picture: Picture, name: str, cache_dir: str = "") -> Clip:
    """The loop for these options, from the cache if it is there; takes a second or two otherwise.

    Args:
        name: drawn in the picture.
        cache_dir: "" means the user's cache directory.
    """
    directory = Path(cache_dir) if cache_dir else _user_cache()
    key = msgspec.msgpack.encode((_VERSION, av.__version__, picture, name))
    path = directory / f"{hashlib.sha256(key).hexdigest()[:32]}.clip"
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Clip)
    except (OSError, msgspec.MsgspecError):
        made = encode(picture, name)
        _keep(made, path)
        return made


def _keep(made: Clip, path: Path) -> None:
    """Writes the cache, whole or not at all; where it cannot be written, the next start takes longer."""
    unfinished = path.with_suffix(f".{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(msgspec.msgpack.encode(made))
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "camrelay" / "clips"


def encode(picture: Picture, name: str) -> Clip:
    """Paints and encodes one loop with libx264 or libx265."""
    gop = picture.gop_pictures
    count = -(-_LOOP_S * picture.fps // gop) * gop
    is_h265 = picture.codec == "h265"
    context = av.CodecContext.create("libx265" if is_h265 else "libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, picture.fps), Fraction(picture.fps)
    context.bit_rate, context.gop_size, context.max_b_frames = picture.bitrate_bps, gop, picture.b_frames
    context.options = _h265_options(picture) if is_h265 else _options(picture)
    painter = Painter(picture.width, picture.height, picture.fps, name)
    packets: list[av.Packet[Any]] = []
    for index in range(count):
        frame = _frame(painter.paint(index), picture.width, picture.height)
        frame.pts, frame.time_base = index, context.time_base
        packets += context.encode(frame)
    packets += context.encode(None)
    lead = max(packet.pts - order for order, packet in enumerate(packets) if packet.pts is not None)
    pictures = tuple(_coded(packet, order + lead, is_h265) for order, packet in enumerate(packets))
    sets = {_kind(unit, is_h265): unit for unit in pictures[0].nal_units}
    if is_h265:
        return Clip(sets[_H265_SPS], sets[_H265_PPS], pictures, sets[_H265_VPS])
    return Clip(sets[_SPS], sets[_PPS], pictures)


def _options(picture: Picture) -> dict[str, str]:
    """Key frames only where asked for, and an even rate.

    A buffer of one second keeps the rate even, as cameras do; begun full, it would make the loop's first GOP
    larger than the others.
    """
    gop, kbps = picture.gop_pictures, picture.bitrate_bps // 1000
    return {
        # The fastest preset that keeps what the profiles main and high are named for.
        "preset": "superfast",
        "profile": picture.profile,
        "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:b-adapt=0:force-cfr=1"
        f":slices={picture.slices}:sliced-threads=0"
        f":vbv-maxrate={kbps}:vbv-bufsize={kbps}:vbv-init=0.4",
    }


def _h265_options(picture: Picture) -> dict[str, str]:
    """The same for libx265, which slices by rows and so only if there are enough of them."""
    gop, kbps = picture.gop_pictures, picture.bitrate_bps // 1000
    return {
        "preset": "ultrafast",
        "x265-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:b-adapt=0"
        f":bframes={picture.b_frames}:slices={picture.slices}:repeat-headers=1:info=0:log-level=none"
        f":vbv-maxrate={kbps}:vbv-bufsize={kbps}:vbv-init=0.4",
    }


def _frame(planes: bytes, width: int, height: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "yuv420p")
    start = 0
    for plane in frame.planes:
        end = start + plane.width * plane.height
        padding = bytes(plane.line_size - plane.width)
        rows = range(start, end, plane.width)
        plane.update(b"".join(planes[row : row + plane.width] + padding for row in rows))
        start = end
    return frame


def _coded(packet: av.Packet[Any], sent: int, is_h265: bool) -> CodedPicture:
    # Encoders sign their work in an SEI message; the only SEI we send is the send time.
    left_out = _H265_LEFT_OUT if is_h265 else _LEFT_OUT
    units = [unit for unit in _START_CODE.split(bytes(packet)) if unit]
    kept = tuple(unit for unit in units if _kind(unit, is_h265) not in left_out)
    assert packet.pts is not None
    return CodedPicture(kept, packet.is_keyframe, sent - packet.pts)


def _kind(unit: bytes, is_h265: bool) -> int:
    return unit[0] >> 1 & 0x3F if is_h265 else unit[0] & 31
