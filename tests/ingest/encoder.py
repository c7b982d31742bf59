"""libx264 as an independent source of H.264: what it was told is what the parsers must find."""

from __future__ import annotations

import io

import av


def encode(
    params: str = "",
    *,
    width: int = 64,
    height: int = 64,
    pictures: int = 30,
    fps: int = 25,
    pix_fmt: str = "yuv420p",
    profile: str = "",
) -> list[av.Packet]:
    """Access units in Annex B. `params` is a list in libx264's own notation."""
    packets: list[av.Packet] = []
    with av.open(io.BytesIO(), "w", format="h264") as container:
        stream = container.add_stream("libx264", fps)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.options = {"x264-params": f"scenecut=0:b-adapt=0:{params}"}
        if profile:
            stream.codec_context.options |= {"profile": profile}
        for number in range(pictures):
            frame = av.VideoFrame(width, height, pix_fmt)
            for plane in frame.planes:
                plane.update(bytes([16 + number % 200]) * plane.buffer_size)
            packets += stream.encode(frame)
        packets += stream.encode()
    return packets
