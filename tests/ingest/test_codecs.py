"""Tests of camrelay.ingest.codecs."""

from __future__ import annotations

import pytest

from camrelay.ingest import h264, h265
from camrelay.ingest.codecs import depacketizer, is_playable, reading
from camrelay.ingest.h265_parameter_set import H265ParameterSets
from camrelay.ingest.parameter_set import ParameterSets
from camrelay.ingest.rtp import Depacketizer
from camrelay.ingest.rtp_h265 import H265Depacketizer
from camrelay.ingest.sdp import Track

H264 = Track("video", "H264", 96)
H265 = Track("video", "H265", 96)


@pytest.mark.parametrize(
    ("track", "is_good"),
    [
        (H264, True),
        (Track("video", "H264", 96, format={"packetization-mode": "1"}), True),
        (Track("video", "H264", 96, format={"packetization-mode": "2"}), False),
        (H265, True),
        (Track("video", "H265", 96, format={"tx-mode": "srst", "sprop-max-don-diff": "0"}), True),
        (Track("video", "H265", 96, format={"sprop-max-don-diff": "4"}), False),
        (Track("video", "H265", 96, format={"tx-mode": "MRMT"}), False),
        (Track("video", "JPEG", 26), False),
        (Track("audio", "H264", 96), False),
    ],
)
def test_what_can_be_relayed(track: Track, is_good: bool) -> None:
    """Pictures of either codec, as long as their packets come in order."""
    assert is_playable(track) == is_good


def test_each_codec_has_its_own() -> None:
    """Packets, access units and parameter sets."""
    assert type(depacketizer(H264)) is Depacketizer
    assert type(depacketizer(H265)) is H265Depacketizer
    parse, sets = reading(H264)
    assert (parse, type(sets)) == (h264.parse_nal_units, ParameterSets)
    parse, sets = reading(H265)
    assert (parse, type(sets)) == (h265.parse_nal_units, H265ParameterSets)
