"""Probing real streams, in the process that does it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from builders import PPS, SPS_360P
from cameras.gst import GstCamera
from camrelay import config
from camrelay.errors import ConfigError, EgressDenied
from camrelay.ingest import probe
from camrelay.ingest.report import Report
from camrelay.ingest.rtp import RtpUnit
from camrelay.ingest.scout import Scout
from camrelay.ingest.sdp import Description, Track
from camrelay.simulate.options import Options, Picture
from camrelay.simulate.server import Simulator

LOOPBACK = config.Egress(allow=("127.0.0.0/8",))
PICTURE = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)


async def probed(url: str, **fields: Any) -> Report:
    return await Scout(LOOPBACK).probe(config.Camera(id="new", url=url, **fields))


async def test_a_camera_is_probed() -> None:
    """Everything about its stream, and a picture of it."""
    options = Options(cameras=1, user="admin", password="right-secret", picture=PICTURE)
    async with Simulator(options) as simulator:
        report = await probed(simulator.url(1), username="admin", password="right-secret")

    assert (report.reason, report.reachable, report.authenticated) == ("", True, True)
    assert report.video is not None
    assert (report.video.codec, report.video.profile) == ("h264", "Main")
    assert (report.video.width, report.video.height) == (320, 180)
    assert (report.video.frame_rate, report.video.gop_s) == (25.0, 1.0)
    assert "a=rtpmap:96 H264/90000" in report.sdp
    assert "right-secret" not in repr(report)
    assert report.jpeg.startswith(b"\xff\xd8\xff")
    assert report.hls is not None
    assert report.hls.works


async def test_an_h265_camera_is_probed() -> None:
    """Packets, parameter sets and picture are its own, and so is what to know about it."""
    picture = msgspec.structs.replace(PICTURE, codec="h265")
    async with Simulator(Options(cameras=1, picture=picture)) as simulator:
        report = await probed(simulator.url(1))

    assert report.video is not None
    assert (report.video.codec, report.video.profile) == ("h265", "Main")
    assert (report.video.width, report.video.height, report.video.gop_s) == (320, 180, 1.0)
    assert report.jpeg.startswith(b"\xff\xd8\xff")
    assert report.hls is not None
    assert report.hls.works
    assert "only some browsers" in report.hls.remarks[0]


async def test_a_wrong_password_or_path_is_told_apart() -> None:
    """From each other, and from a camera that is not there."""
    async with Simulator(Options(cameras=1, user="admin", password="right", picture=PICTURE)) as simulator:
        url = simulator.url(1)
        refused = await probed(url, username="admin", password="wrong")
        missing = await probed(f"{url}nope", username="admin", password="right")
    gone = await probed(url)

    assert [r.reason for r in (refused, missing, gone)] == [
        "credentials_refused",
        "stream_not_found",
        "unreachable",
    ]
    assert [r.reachable for r in (refused, missing, gone)] == [True, True, False]


async def test_a_look_ends_with_the_second_key_frame_or_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera with rare key frames is reported as that, and so is one whose clock wraps meanwhile."""
    monkeypatch.setattr(probe, "LISTEN_S", (0.0, 60.0))
    look = probe.Look()
    assert not look.has_seen_enough()
    look.opened(Description("", ()), Track("video", "H264", 96))
    key_frame = (SPS_360P, PPS, b"\x65\x88\x80\x40\xff")

    look.access_unit(RtpUnit((1 << 32) - 90_000, key_frame))
    assert look.video is not None
    assert look.video.gop_s is None
    assert not look.has_seen_enough()
    look.access_unit(RtpUnit(90_000, key_frame))

    assert look.has_seen_enough()
    assert look.video.gop_s == 2.0
    monkeypatch.setattr(probe, "LISTEN_S", (0.0, 0.0))
    assert look.has_seen_enough()


async def test_damage_is_passed_over() -> None:
    """A look at a camera with broken packets sees what is left."""
    look = probe.Look()
    look.opened(Description("", ()), Track("video", "H264", 96, format={"sprop-parameter-sets": "5w=="}))
    for nal_units in ((), (b"\xe5\x00",), (b"\x67\x00",), (b"\x65\x88\x80",)):
        look.access_unit(RtpUnit(0, nal_units))

    assert look.video is None
    assert probe.report(look, "v=0").reason == "interrupted"


@pytest.mark.e2e
async def test_b_frames_and_sound_are_reported() -> None:
    """Of a camera that is not ours."""
    options = ("--key-int-max", "50", "--b-frames", "2", "--profile", "high", "--audio")
    async with GstCamera(*options, "--width=320", "--height=180") as camera:
        report = await probed(camera.url)

    assert report.video is not None
    assert report.video.has_b_frames
    assert report.audio is not None
    assert report.audio.codec == "PCMA"
    assert report.webrtc is not None
    assert not report.webrtc.works


async def test_an_address_that_no_camera_may_have_is_not_dialled() -> None:
    """Nor a URL that is none."""
    with pytest.raises(EgressDenied):
        await probed("rtsp://169.254.169.254/latest")
    with pytest.raises(ConfigError):
        await probed("file:///etc/passwd")
