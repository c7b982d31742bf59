"""What a probe reports, and what it means for viewers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from builders import H265_PARAMS, make_params
from camrelay.ingest.report import Audio, Seen, Video, audio_of, failed, judge, profile_name, without_secrets

USUAL = {
    "codec": "h264",
    "profile": "Main",
    "width": 1920,
    "height": 1080,
    "frame_rate": 25.0,
    "gop_s": 2.0,
    "has_b_frames": False,
    "bit_rate_bps": 2_000_000,
}


def video(**changes: Any) -> Video:
    return Video(**USUAL | changes)


def test_a_usual_stream_works_without_remarks() -> None:
    """In both."""
    hls, webrtc = judge(video(), None)

    assert (True, ()) == (hls.works, hls.remarks) == (webrtc.works, webrtc.remarks)


@pytest.mark.parametrize(
    ("changes", "hls_works", "webrtc_works", "word"),
    [
        ({"codec": "h265", "profile": "Main"}, True, True, "H.265"),
        ({"codec": "h265", "profile": "Range Extensions"}, False, False, "Range Extensions"),
        ({"codec": "vp8"}, False, False, "vp8"),
        ({"profile": "High 4:2:2"}, False, False, "High 4:2:2"),
        ({"has_b_frames": True}, True, False, "B-frames"),
        ({"gop_s": 10.0}, True, True, "10 s apart"),
        ({"gop_s": None}, True, True, "no second one"),
        ({"width": 7680, "height": 4320}, True, True, "larger than 4K"),
    ],
    ids=str,
)
def test_what_will_not_work_is_said_in_words(
    changes: dict[str, Any], hls_works: bool, webrtc_works: bool, word: str
) -> None:
    """With what to change in the camera."""
    hls, webrtc = judge(video(**changes), None)

    assert (hls_works, webrtc_works) == (hls.works, webrtc.works)
    assert word in " ".join(webrtc.remarks)
    assert (word in " ".join(hls.remarks)) or "HLS plays them" in webrtc.remarks[0]


@pytest.mark.parametrize(
    ("codec", "in_hls", "in_webrtc"),
    [
        ("MPEG4-GENERIC", "", "The sound is AAC"),
        ("PCMA", "The sound is G.711", ""),
        ("OPUS", "The sound is Opus", ""),
        ("G726-32", "The sound is G726-32", "The sound is G726-32"),
    ],
)
def test_sound_that_a_protocol_cannot_carry_is_no_surprise(codec: str, in_hls: str, in_webrtc: str) -> None:
    """It is said before, with what would be heard."""
    for verdict, said in zip(judge(video(), Audio(codec, 8000)), (in_hls, in_webrtc), strict=True):
        assert verdict.works
        assert [remark.partition(",")[0] for remark in verdict.remarks] == ([said] if said else [])


def test_access_units_are_counted() -> None:
    """Rate, distance of key frames, and bit rate come from what was seen, in whatever order."""
    seen = Seen()
    for number in (0, 2, 1, 3, 5, 4, 6, 7, 8, 9, 10):
        seen.add(number / 5, is_key=number % 5 == 0, size=1_000)

    assert (seen.units, seen.key_frames, seen.gop_s, seen.frame_rate) == (11, 3, 1.0, 5.0)
    assert seen.bit_rate_bps == 44_000


def test_too_little_says_nothing() -> None:
    """One picture has no rate."""
    seen = Seen()
    seen.add(1.0, is_key=True, size=10)

    assert (seen.gop_s, seen.frame_rate, seen.bit_rate_bps) == (None, None, 0)


@pytest.mark.parametrize(
    ("sps", "name"),
    [
        (b"\x67\x42\xc0\x1e", "Constrained Baseline"),
        (b"\x67\x42\x00\x1e", "Baseline"),
        (b"\x67\x64\x00\x1e", "High"),
        (b"\x67\x99\x00\x1e", "profile 153"),
    ],
)
def test_profiles_have_names(sps: bytes, name: str) -> None:
    """Those people find in their camera's settings."""
    assert name == profile_name(make_params(sps=sps))


@pytest.mark.parametrize(("idc", "name"), [(1, "Main"), (2, "Main 10"), (11, "profile 11")])
def test_profiles_of_h265_have_names_too(idc: int, name: str) -> None:
    """They stand in the configuration."""
    params = msgspec.structs.replace(H265_PARAMS, config=bytes((1, idc)) + bytes(20))
    assert name == profile_name(params)


@pytest.mark.parametrize(
    ("reason", "reachable", "authenticated"),
    [
        ("unreachable", False, None),
        ("worker_lost", False, None),
        ("egress_denied", False, None),
        ("credentials_refused", True, False),
        ("stream_not_found", True, True),
    ],
)
def test_a_failure_says_how_far_it_came(reason: str, reachable: bool, authenticated: bool | None) -> None:
    """So that the owner knows whether to look at the cable, the password or the path."""
    report = failed(reason)

    assert (reason, reachable, authenticated) == (report.reason, report.reachable, report.authenticated)


SDP = """v=0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=control:rtsp://admin:secret@10.0.0.5/track1?user=admin&password=secret;x=1
k=clear:secret
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret
{}a=control:track2\x1b[31m
"""


@pytest.mark.parametrize(
    ("lines", "audio"),
    [
        ("m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/16000/1\n", Audio("MPEG4-GENERIC", 16000)),
        ("m=audio 0 RTP/AVP 0\n", Audio("PCMU", 8000)),
        ("m=audio 0 RTP/AVP 8\n", Audio("PCMA", 8000)),
        ("m=audio 0 RTP/AVP 99\n", Audio("?", 0)),
        ("", None),
    ],
)
def test_sound_is_read_from_the_sdp(lines: str, audio: Audio | None) -> None:
    """By its map, or by its number where that has a fixed meaning."""
    assert audio == audio_of(SDP.format(lines))


def test_a_shown_sdp_has_no_secrets() -> None:
    """Nor what a terminal would obey."""
    shown = without_secrets(SDP.format(""))

    assert "secret" not in shown
    assert "admin" not in shown
    assert "\x1b" not in shown
    assert "a=rtpmap:96 H264/90000" in shown
    assert "rtsp://***@10.0.0.5/track1?user=***&password=***;x=1" in shown


@pytest.mark.parametrize(("codec", "spoken"), [("JPEG", "Motion JPEG"), ("VP8", "VP8")])
def test_a_stream_that_cannot_be_relayed_is_named(codec: str, spoken: str) -> None:
    """With what to change, though nothing was played."""
    sdp = (
        "v=0\r\nm=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
        f"m=video 0 RTP/AVP 97\r\na=rtpmap:97 {codec}/90000\r\n"
    )
    report = failed("unsupported_codec", sdp)

    assert report.video is None
    for verdict in (report.hls, report.webrtc):
        assert verdict is not None
        assert not verdict.works
        assert f"The video is {spoken};" in verdict.remarks[0]
