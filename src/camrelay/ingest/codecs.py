"""What depends on the codec of a camera's pictures; chosen once, by the track that is played."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from camrelay.ingest import h264, h265
from camrelay.ingest.h264 import Picture
from camrelay.ingest.h265_parameter_set import H265ParameterSets
from camrelay.ingest.parameter_set import ParameterSets
from camrelay.ingest.rtp import Depacketizer
from camrelay.ingest.rtp_h265 import H265Depacketizer
from camrelay.ingest.sdp import Track

Parse = Callable[[Sequence[bytes]], Picture]


def is_playable(track: Track) -> bool:
    """Whether a track has pictures that can be relayed, in an order of packets that can be read.

    Interleaved packetization (RFC 6184 §5.6), decoding order numbers and several RTP streams for one picture
    (RFC 7798 §7.1) are for cameras that nobody makes.
    """
    if track.kind != "video":
        return False
    if track.codec == "H265":
        has_numbers = track.format.get("sprop-max-don-diff", "0") != "0"
        return not has_numbers and track.format.get("tx-mode", "SRST").upper() == "SRST"
    return track.codec == "H264" and track.format.get("packetization-mode") != "2"


def depacketizer(track: Track) -> Depacketizer:
    """What puts the packets of a playable track together."""
    kind = H265Depacketizer if track.codec == "H265" else Depacketizer
    return kind(track.payload_type)


def reading(track: Track) -> tuple[Parse, ParameterSets]:
    """What takes the access units of a playable track apart, and what remembers their parameter sets."""
    if track.codec == "H265":
        return h265.parse_nal_units, H265ParameterSets()
    return h264.parse_nal_units, ParameterSets()
