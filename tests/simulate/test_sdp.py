"""The description a camera gives of itself."""

from __future__ import annotations

from aiortc.sdp import SessionDescription

from camrelay.simulate.options import Picture
from camrelay.simulate.sdp import describe


def test_another_parser_reads_it() -> None:
    """One video stream: payload type, clock rate, packetization mode, profile and parameter sets."""
    picture = Picture(bitrate_bps=2_000_000, fps=25)
    text = describe("cam7", picture, b"\x67\x4d\x40\x1f\xda", b"\x68\xef").decode()

    (media,) = SessionDescription.parse(text).media
    (codec,) = media.rtp.codecs

    assert (media.kind, media.profile, media.fmt) == ("video", "RTP/AVP", [96])
    assert (codec.mimeType, codec.clockRate, codec.payloadType) == ("video/H264", 90_000, 96)
    assert codec.parameters == {
        "packetization-mode": "1",
        "profile-level-id": "4d401f",
        "sprop-parameter-sets": "Z01AH9o=,aO8=",
    }
    assert {"s=cam7", "a=control:*", "a=control:trackID=1", "a=framerate:25", "b=AS:2000"} <= set(
        text.split("\r\n")
    )
