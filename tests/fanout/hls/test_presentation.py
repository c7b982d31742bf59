"""Tests of camrelay.fanout.hls.presentation: two streams of a camera behind one multivariant playlist."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from builders import SPS_720P, make_gop, make_params
from camrelay import config
from camrelay.fanout.hls import parser, presentation
from camrelay.fanout.hls.playlist import MediaPlaylist, RenditionReport
from camrelay.fanout.hub import Hub
from camrelay.model import CLOCK_RATE, CameraState, CameraStatus, Rendition
from fanout.hls.serving import CAMERA, Served, serve

LIVE = CameraStatus(CameraState.LIVE, 0)
OFFLINE = CameraStatus(CameraState.OFFLINE, 0, "camera_unreachable")
STANDBY = CameraStatus(CameraState.STANDBY, 0)


class Two:
    """A camera with two streams; `sub` is the hub of the smaller one."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.main = served.hub
        self.sub = Hub(CAMERA, config.Ring(), Rendition.SUB)
        served.server.attach(self.sub, is_public=False)

    def feed(self, hub: Hub, begin_s: float, *, pictures: int = 25, discontinuity: bool = False) -> None:
        """One GOP at 25 pictures a second."""
        params = make_params(sps=SPS_720P) if hub is self.sub else make_params()
        gop = make_gop(
            round(begin_s * CLOCK_RATE), units=pictures, params=params, discontinuity=discontinuity
        )
        for au in gop:
            hub.publish(au)

    async def media(self, rendition: str) -> MediaPlaylist:
        return parser.parse_media(await self.served.text(f"{rendition}/stream.m3u8"))

    async def variants(self) -> list[str]:
        found = parser.parse_multivariant(await self.served.text("index.m3u8"))
        return [variant.uri for variant in found]


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    options = config.Hls(segment_s=1.0, target_duration_s=2)
    async with serve(options) as served:
        yield Two(served)


def numbers(playlist: MediaPlaylist) -> int:
    """The discontinuity sequence number of the newest segment."""
    return playlist.discontinuity_sequence + sum(segment.is_discontinuity for segment in playlist.segments)


class TestMultivariant:
    async def test_offers_both_with_their_own_words(self, two: Two) -> None:
        """The main stream first, each with its resolution, codec and bit rate (H20)."""
        two.feed(two.main, 0)
        two.feed(two.sub, 0.1)

        main, sub = parser.parse_multivariant(await two.served.text("index.m3u8"))

        assert (main.uri, sub.uri) == ("main/stream.m3u8", "sub/stream.m3u8")
        assert (main.resolution, sub.resolution) == ((640, 360), (1280, 720))
        assert main.codecs != sub.codecs

    async def test_waits_a_moment_for_the_second(self, two: Two) -> None:
        """A player reads it once: without the wait, the first viewer would never see the other stream."""
        two.feed(two.main, 0)
        asked = asyncio.create_task(two.variants())
        while not two.served.server.waiting(CAMERA):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)
        two.feed(two.sub, 0)
        two.feed(two.main, 1)

        assert await asked == ["main/stream.m3u8", "sub/stream.m3u8"]

    async def test_does_not_wait_for_long(self, two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
        """A stream that shows nothing is done without."""
        monkeypatch.setattr(presentation, "_PATIENCE_S", 0.0)
        two.feed(two.main, 0)
        assert await two.variants() == ["main/stream.m3u8"]

    async def test_leaves_out_a_stream_that_is_away(self, two: Two) -> None:
        """Whichever it is; when both are, what was there stays."""
        two.main.set_status(OFFLINE)
        two.feed(two.sub, 0)
        assert await two.variants() == ["sub/stream.m3u8"]

        two.main.set_status(LIVE)
        two.feed(two.main, 0)
        two.sub.set_status(OFFLINE)
        assert await two.variants() == ["main/stream.m3u8"]

        two.main.set_status(OFFLINE)
        assert await two.variants() == ["main/stream.m3u8", "sub/stream.m3u8"]

    async def test_is_refused_when_both_are_away(self, two: Two) -> None:
        """There was nothing, and nothing comes."""
        for hub in (two.main, two.sub):
            hub.set_status(OFFLINE)
        async with two.served.get("index.m3u8") as answer:
            assert await answer.text() == "StreamNotReady"

    async def test_an_unknown_stream_is_not_found(self, two: Two) -> None:
        """Neither one that no camera has, nor the sub stream of a camera without one."""
        two.feed(two.main, 0)
        async with two.served.get("other/stream.m3u8") as answer:
            assert answer.status == 404
        two.served.server.detach(CAMERA)
        two.served.server.attach(two.main, is_public=False)
        async with two.served.get("sub/stream.m3u8") as answer:
            assert await answer.text() == "NotFound"


class TestMedia:
    async def test_reports_where_the_other_is(self, two: Two) -> None:
        """Its newest segment and part (H17); nothing of a stream that has nothing yet."""
        two.feed(two.main, 0)
        assert (await two.media("main")).reports == ()
        two.feed(two.sub, 0, pictures=16)
        two.feed(two.main, 1)

        main, sub = await two.media("main"), await two.media("sub")

        newest = RenditionReport("../sub/stream.m3u8", sub.last_msn, len(sub.segments[-1].parts) - 1)
        assert main.reports == (newest,)
        assert sub.reports[0].uri == "../main/stream.m3u8"

    async def test_parts_of_both_have_names_of_their_own(self, two: Two) -> None:
        """A part of one stream is not found below the other."""
        two.feed(two.main, 0)
        two.feed(two.sub, 0)
        part = (await two.media("sub")).segments[0].parts[0].uri
        async with two.served.get(f"sub/{part}") as answer:
            assert answer.status == 200
        async with two.served.get(f"main/{part}") as answer:
            assert await answer.text() == "NotFound"


class TestDiscontinuities:
    async def test_begin_with_the_same_number(self, two: Two) -> None:
        """Matching content has matching numbers, from the first segment on (H20)."""
        two.feed(two.main, 0)
        two.feed(two.sub, 0)
        assert numbers(await two.media("main")) == numbers(await two.media("sub"))

    async def test_a_stream_that_broke_alone_is_followed(self, two: Two) -> None:
        """At the other's next key frame, with times that go on: nothing broke there."""
        for begin_s in (0, 1, 2):
            two.feed(two.main, begin_s)
            two.feed(two.sub, begin_s)
        two.feed(two.sub, 3, discontinuity=True)
        for begin_s in (3, 4):
            two.feed(two.main, begin_s)
        two.feed(two.sub, 4)

        main, sub = await two.media("main"), await two.media("sub")

        assert numbers(main) == numbers(sub) == 1
        assert sum(segment.is_discontinuity for segment in main.segments) == 1
        broken = next(segment for segment in main.segments if segment.is_discontinuity)
        assert broken.map_uri is None
        assert broken.parts[0].is_independent

    async def test_an_outage_of_both_counts_once(self, two: Two) -> None:
        """A camera that reboots breaks both streams; neither follows the other once more."""
        for hub in (two.main, two.sub):
            two.feed(hub, 0)
            two.feed(hub, 1)
        for begin_s, is_break in ((10, True), (11, False), (12, False)):
            two.feed(two.main, begin_s, discontinuity=is_break)
            two.feed(two.sub, begin_s, discontinuity=is_break)

        assert numbers(await two.media("main")) == numbers(await two.media("sub")) == 1

    async def test_a_stream_that_comes_late_joins_in(self, two: Two) -> None:
        """It begins with the number that the other has by then."""
        two.feed(two.main, 0)
        two.feed(two.main, 5, discontinuity=True)
        two.feed(two.sub, 5)

        assert (await two.media("sub")).discontinuity_sequence == numbers(await two.media("main")) == 1

    async def test_streams_that_were_at_rest_begin_anew_together(self, two: Two) -> None:
        """Numbers do not go back, and are the same again."""
        for hub in (two.main, two.sub):
            two.feed(hub, 0)
        for hub in (two.main, two.sub):
            hub.set_status(STANDBY)
        for hub in (two.main, two.sub):
            hub.set_status(LIVE)
            two.feed(hub, 100)

        main, sub = await two.media("main"), await two.media("sub")
        assert main.discontinuity_sequence == sub.discontinuity_sequence == 1
        assert len(main.segments) <= 2
