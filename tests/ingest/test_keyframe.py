"""Tests of camrelay.ingest.keyframe."""

from __future__ import annotations

import msgspec
import pytest

from builders import PPS, SPS_360P, make_au
from camrelay.ingest.keyframe import from_access_unit
from camrelay.model import Codec

START = b"\x00\x00\x00\x01"


def test_a_key_frame_stands_alone() -> None:
    """Parameter sets first, then the picture, each behind a start code (H.264 Annex B)."""
    au = make_au(is_key=True, size=20)

    key_frame = from_access_unit(au)

    assert key_frame.codec == "h264"
    assert key_frame.data == START + SPS_360P + START + PPS + START + au.data[4:]


@pytest.mark.parametrize(("codec", "name"), [(Codec.H264, "h264"), (Codec.H265, "hevc")])
def test_codecs_have_the_decoders_names(codec: Codec, name: str) -> None:
    """libav calls H.265 hevc."""
    au = make_au(is_key=True)
    params = msgspec.structs.replace(
        au.params, codec=codec, vps=(b"\x40\x01",) if codec is Codec.H265 else ()
    )

    key_frame = from_access_unit(msgspec.structs.replace(au, params=params))

    assert key_frame.codec == name
    assert key_frame.data.startswith(START + (b"\x40\x01" if codec is Codec.H265 else SPS_360P))
