"""The description a camera gives of itself."""

from __future__ import annotations

import pytest
from aiortc.sdp import SessionDescription

from camrelay.simulate.options import Picture
from camrelay.simulate.sdp import describe
from camrelay.simulate.soundtrack import Tone


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


@pytest.mark.parametrize(
    ("tone", "lines"),
    [
        (
            Tone("MPEG4-GENERIC/48000/1", 97, 48_000, 1024, (b"x",), "mode=AAC-hbr"),
            ["m=audio 0 RTP/AVP 97", "a=rtpmap:97 MPEG4-GENERIC/48000/1", "a=fmtp:97 mode=AAC-hbr"],
        ),
        (Tone("PCMU/8000", 0, 8000, 160, (b"x",)), ["m=audio 0 RTP/AVP 0", "a=rtpmap:0 PCMU/8000"]),
    ],
    ids=["with a format", "without"],
)
def test_sound_is_a_second_stream(tone: Tone, lines: list[str]) -> None:
    """Behind the video, with a track of its own; a format only where the codec has one."""
    text = describe("cam7", Picture(), b"\x67\x4d\x40\x1f", b"\x68", tone).decode()

    assert text.split("\r\n")[-len(lines) - 2 :] == [*lines, "a=control:trackID=2", ""]


def test_h265_names_its_three_parameter_sets() -> None:
    """RFC 7798 §7.1."""
    text = describe("cam7", Picture(codec="h265"), b"s", b"p", vps=b"v").decode()
    assert "a=rtpmap:96 H265/90000\r\n" in text
    assert "a=fmtp:96 sprop-vps=dg==;sprop-sps=cw==;sprop-pps=cA==\r\n" in text
