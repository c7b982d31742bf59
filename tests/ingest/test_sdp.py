"""Tests of camrelay.ingest.sdp: descriptions as cameras write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.errors import BadAnswer
from camrelay.ingest.sdp import MAX_BYTES, MAX_TRACKS, control_url, parse

CAMERA = b"""v=0
o=- 1 1 IN IP4 192.168.1.9
s=Media
t=0 0
a=control:*
m=video 0 RTP/AVP 96
b=AS:5000
a=rtpmap:96 H264/90000
a=fmtp:96 Packetization-Mode=1; profile-level-id=64001f; sprop-parameter-sets=Z2QAHqw=,aOvDyw; x
a=control:rtsp://192.168.1.9/live/trackID=1
m=audio 0 RTP/AVP 8 97
a=rtpmap:97 mpeg4-generic/16000/1
a=control:trackID=2
m=application 0 RTP/AVP 107
a=rtpmap:107 vnd.onvif.metadata/90000
"""


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_every_format_of_every_stream_is_a_track(line_end: bytes) -> None:
    """Named by rtpmap, or by a payload type that needs none."""
    description = parse(CAMERA.replace(b"\n", line_end))

    assert description.control == "*"
    assert [(t.kind, t.codec, t.payload_type, t.clock_rate, t.control) for t in description.tracks] == [
        ("video", "H264", 96, 90_000, "rtsp://192.168.1.9/live/trackID=1"),
        ("audio", "PCMA", 8, 8_000, "trackID=2"),
        ("audio", "MPEG4-GENERIC", 97, 16_000, "trackID=2"),
        ("application", "VND.ONVIF.METADATA", 107, 90_000, ""),
    ]


def test_parameter_sets_are_decoded() -> None:
    """Also without padding; parameter names in any case."""
    video = parse(CAMERA).tracks[0]

    assert video.format["packetization-mode"] == "1"
    assert video.parameter_sets == [bytes.fromhex("6764001eac"), bytes.fromhex("68ebc3cb")]


@pytest.mark.parametrize("value", ["", ",", "!", "a", "=="])
def test_parameter_sets_that_are_none_are_left_out(value: str) -> None:
    """Nonsense in the description does not keep a stream from playing."""
    text = f"m=video 0 RTP/AVP 96\na=fmtp:96 sprop-parameter-sets={value}\n"

    assert parse(text.encode()).tracks[0].parameter_sets == []


def test_a_stream_of_another_transport_is_no_track() -> None:
    """Nobody here could receive it; an empty section is none either."""
    assert parse(b"v=0\nm=video 0 UDP 96\nm=").tracks == ()


def test_an_unnamed_format_has_no_codec() -> None:
    """A dynamic payload type without rtpmap could be anything."""
    assert parse(b"m=video 0 RTP/SAVPF 99\n").tracks[0].codec == ""


def test_limits() -> None:
    """Neither bytes nor tracks without end."""
    with pytest.raises(BadAnswer, match="bytes"):
        parse(bytes(MAX_BYTES + 1))
    with pytest.raises(BadAnswer, match="tracks"):
        parse(b"m=video 0 RTP/AVP 96\n" * (MAX_TRACKS + 1))


@pytest.mark.parametrize(
    ("control", "url"),
    [
        ("", "rtsp://cam/live"),
        ("*", "rtsp://cam/live"),
        ("trackID=1", "rtsp://cam/live/trackID=1"),
        ("/trackID=1", "rtsp://cam/live/trackID=1"),
        ("?track=1", "rtsp://cam/live?track=1"),
        ("RTSP://cam/other", "RTSP://cam/other"),
    ],
)
def test_controls_are_appended(control: str, url: str) -> None:
    """As every client does it."""
    assert control_url("rtsp://cam/live", control) == url


def test_one_slash_is_between_and_a_query_is_kept() -> None:
    """Cameras expect what clients have always sent them."""
    assert control_url("rtsp://cam/live/", "t=1") == "rtsp://cam/live/t=1"
    assert control_url("rtsp://cam/live?ch=1", "t=1") == "rtsp://cam/live?ch=1/t=1"


@given(st.binary(max_size=400))
def test_any_bytes_are_a_description(data: bytes) -> None:
    """What cannot be understood is passed over."""
    for track in parse(b"m=video 0 RTP/AVP 96\na=" + data).tracks:
        assert isinstance(track.parameter_sets, list)


def test_the_parameter_sets_of_h265_have_parameters_of_their_own() -> None:
    """Three of them (RFC 7798 §7.1), in the order in which a decoder wants them."""
    text = "m=video 0 RTP/AVP 96\na=fmtp:96 sprop-pps=AQ==; sprop-vps=Ag==,Aw==; sprop-sps=BA==\n"
    assert parse(text.encode()).tracks[0].parameter_sets == [b"\2", b"\3", b"\4", b"\1"]
