"""The independent camera is what tests take it for."""

from __future__ import annotations

import pytest

from cameras.gst import GstCamera
from cameras.probe import ffprobe

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("profile", "b_frames", "name"),
    [("constrained-baseline", 0, "Constrained Baseline"), ("high", 2, "High")],
)
async def test_it_serves_the_profile_asked_for(profile: str, b_frames: int, name: str) -> None:
    """Ffprobe reads H.264 of the profile and size that the command line names."""
    async with GstCamera(
        f"--profile={profile}", f"--b-frames={b_frames}", "--width=320", "--height=180"
    ) as c:
        (stream,) = (await ffprobe(c.url))["streams"]

    assert ("h264", name, 320, 180) == tuple(stream[k] for k in ("codec_name", "profile", "width", "height"))
    assert b_frames == stream["has_b_frames"]


async def test_it_has_sound_when_asked() -> None:
    """A second stream of G.711, as many cameras send."""
    async with GstCamera("--audio", "--width=320", "--height=180") as camera:
        streams = (await ffprobe(camera.url))["streams"]

    assert [s["codec_name"] for s in streams] == ["h264", "pcm_alaw"]


async def test_it_asks_for_the_password() -> None:
    """Only with user and password is it shown."""
    async with GstCamera("--secret=viewer:right", "--width=320", "--height=180") as camera:
        place = camera.url.removeprefix("rtsp://")
        assert (await ffprobe(f"rtsp://viewer:right@{place}"))["packets"]
        with pytest.raises(AssertionError, match="401"):
            await ffprobe(f"rtsp://viewer:wrong@{place}")


async def test_it_comes_back_on_its_port() -> None:
    """After stop nothing listens; after start the same URL works again."""
    async with GstCamera("--width=320", "--height=180") as camera:
        url = camera.url
        await camera.stop()
        with pytest.raises(AssertionError, match="refused"):
            await ffprobe(url)

        await camera.start()

        assert url == camera.url
        assert (await ffprobe(url))["packets"]
