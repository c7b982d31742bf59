"""Makes JPEGs of key frames: `python -m camrelay.ingest.snapshot`, key frames in, pictures out.

Decoders are where libraries crash, so this is a process of its own, with limits, that may die at any picture.
Each message is its length in 4 bytes, then msgpack (a KeyFrame) one way and a JPEG the other; an empty one
says that there is no picture in it.
"""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from typing import cast

import av
import msgspec
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from camrelay.ingest.errand import set_limits
from camrelay.ingest.keyframe import KeyFrame

#: Quantiser of the JPEG, 2 (best) to 31: small and without visible blocks.
_QUANTISER = "5"


def jpeg(frame: KeyFrame) -> bytes:
    """The picture in a key frame, b"" when there is none."""
    av.logging.set_level(None)
    try:
        picture = _decode(frame)
        return b"" if picture is None else _encode(picture, frame.max_width)
    except (av.FFmpegError, ValueError):
        return b""


def _decode(frame: KeyFrame) -> VideoFrame | None:
    decoder = cast(VideoCodecContext, av.CodecContext.create(frame.codec, "r"))
    decoder.thread_count = 1
    if frame.extradata:
        decoder.extradata = frame.extradata
    pictures = decoder.decode(av.Packet(frame.data)) + decoder.decode(None)
    return pictures[0] if pictures else None


def _encode(picture: VideoFrame, max_width: int) -> bytes:
    width = min(picture.width, max_width) & ~1
    height = round(picture.height * width / picture.width) & ~1
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": _QUANTISER, "qmax": _QUANTISER}
    scaled = picture.reformat(width=width, height=height, format="yuvj420p")
    scaled.pts, scaled.time_base = 0, encoder.time_base
    return b"".join(bytes(packet) for packet in encoder.encode(scaled) + encoder.encode(None))


def _serve() -> None:
    while head := sys.stdin.buffer.read(4):
        data = sys.stdin.buffer.read(int.from_bytes(head, "big"))
        picture = jpeg(msgspec.msgpack.decode(data, type=KeyFrame))
        sys.stdout.buffer.write(len(picture).to_bytes(4, "big") + picture)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    set_limits()
    _serve()
    os._exit(0)
