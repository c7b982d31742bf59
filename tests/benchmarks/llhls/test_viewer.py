"""Viewers against a small LL-HLS server that keeps the rules."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from benchmarks.llhls.crowd import Crowd
from camrelay.simulate.clock import sei_nal_unit
from load import until_true

PART_S = 0.1
PER_SEGMENT = 5
HOLD_BACK_S = 0.95


class Origin:
    """A part every PART_S, five to a segment, behind a redirect, a cookie and a multivariant playlist."""

    def __init__(self) -> None:
        self.parts = 12
        self.tokens: set[str] = set()
        self.blocked = 0
        self.asked: list[str] = []
        self._published = asyncio.Condition()

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/cam/index.m3u8", self.enter),
                web.get("/s/index.m3u8", self.multivariant),
                web.get("/s/v/stream.m3u8", self.media),
                web.get("/s/v/{piece}", self.piece),
            ]
        )
        return app

    async def publish(self) -> None:
        while True:
            await asyncio.sleep(PART_S)
            async with self._published:
                self.parts += 1
                self._published.notify_all()

    async def enter(self, request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/s/index.m3u8", "Set-Cookie": "who=me; Path=/"})

    async def multivariant(self, request: web.Request) -> web.Response:
        return web.Response(text="#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv/stream.m3u8\n")

    async def media(self, request: web.Request) -> web.Response:
        assert request.cookies["who"] == "me"
        self.tokens.add(request.headers.get("Authorization", ""))
        if "_HLS_msn" in request.query:
            wanted = int(request.query["_HLS_msn"]) * PER_SEGMENT + int(request.query["_HLS_part"])
            self.blocked += 1
            async with self._published:
                await self._published.wait_for(lambda: self.parts > wanted)
        return web.Response(text=self.playlist())

    def playlist(self) -> str:
        lines = [
            "#EXTM3U", "#EXT-X-TARGETDURATION:1", f"#EXT-X-PART-INF:PART-TARGET={PART_S}",
            f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={HOLD_BACK_S}",
            "#EXT-X-MEDIA-SEQUENCE:0",
        ]  # fmt: skip
        for part in range(self.parts):
            msn, index = divmod(part, PER_SEGMENT)
            independent = ",INDEPENDENT=YES" if index == 0 else ""
            lines.append(f'#EXT-X-PART:DURATION={PART_S},URI="p{msn}.{index}"{independent}')
            if index == PER_SEGMENT - 1:
                lines += [f"#EXTINF:{PART_S * PER_SEGMENT},", f"s{msn}"]
        return "\n".join(lines) + "\n"

    async def piece(self, request: web.Request) -> web.Response:
        self.asked.append(request.match_info["piece"])
        media = b"\0\0\0\1" + sei_nal_unit(1) + b"x" * 100 + sei_nal_unit(time.time_ns() // 1000 - 50_000)
        return web.Response(body=media)


@pytest.fixture
async def origin() -> AsyncIterator[tuple[Origin, str]]:
    made = Origin()
    async with TestServer(made.app()) as server:
        publishing = asyncio.create_task(made.publish())
        yield made, str(server.make_url("/cam/index.m3u8"))
        publishing.cancel()


async def test_a_low_latency_viewer_fetches_every_part_once(origin: tuple[Origin, str]) -> None:
    """From an independent part near the end, in order, by blocked reloads; its last clock gives the delay."""
    served, url = origin
    async with Crowd() as crowd:
        (viewer,) = await crowd.join(url, 1, per_second=10)
        await until_true(lambda: viewer.pieces >= 17)
        totals = crowd.totals()
    first = served.asked[0].removeprefix("p").split(".")
    began = int(first[0]) * PER_SEGMENT + int(first[1])
    assert int(first[1]) == 0
    assert served.asked == [
        "p{}.{}".format(*divmod(began + i, PER_SEGMENT)) for i in range(len(served.asked))
    ]
    assert served.blocked >= 4
    assert (totals.failed, totals.stalls) == (0, 0)
    assert 0.04 < min(viewer.delays_s) < 0.5
    shown = viewer.delays_s[-len(viewer.behind_s) :]
    assert all(behind > delay for behind, delay in zip(viewer.behind_s, shown, strict=True))


async def test_the_first_picture_shown_is_held_back_no_further_than_asked(
    origin: tuple[Origin, str],
) -> None:
    """Whatever lies between the independent part and PART-HOLD-BACK is fetched, and not shown."""
    served, url = origin
    served.parts = 14  # the last independent part that will do is the first
    async with Crowd() as crowd:
        (viewer,) = await crowd.join(url, 1, per_second=10)
        await until_true(lambda: viewer.pieces >= 14)
    assert served.asked[0] == "p0.0"
    # Its pictures are 50 ms old when they are asked for; shown from the first on, it would be 1.4 s.
    assert viewer.behind_s[0] < 0.05 + HOLD_BACK_S + PART_S + 0.15


async def test_viewers_of_the_same_playlist_share_its_reading(origin: tuple[Origin, str]) -> None:
    """Each still fetches for itself."""
    served, url = origin
    async with Crowd() as crowd:
        viewers = await crowd.join(url, 3, per_second=100)
        await until_true(lambda: all(viewer.pieces >= 5 for viewer in viewers))
    assert len(served.asked) >= 15
    assert crowd.totals().bytes == sum(viewer.bytes for viewer in viewers)


async def test_a_classic_viewer_fetches_whole_segments(origin: tuple[Origin, str]) -> None:
    """No part, no blocked reload."""
    served, url = origin
    async with Crowd(low_latency=False) as crowd:
        (viewer,) = await crowd.join(url, 1, per_second=10)
        await until_true(lambda: viewer.pieces >= 4)
    assert served.asked[:4] == ["s0", "s1", "s2", "s3"]
    assert served.blocked == 0


async def test_a_camera_that_is_not_there_fails_its_viewers(origin: tuple[Origin, str]) -> None:
    """With the status as the reason."""
    _, url = origin
    async with Crowd() as crowd:
        await crowd.join(url.replace("cam", "none"), 2, per_second=100)
        assert crowd.failures() == {"status 404": 2}
        assert crowd.totals().failed == 2


async def test_a_viewer_shows_its_token_with_every_request(origin: tuple[Origin, str]) -> None:
    """Beside the cookies it is given."""
    served, url = origin
    async with Crowd() as crowd:
        (viewer,) = await crowd.join(url, 1, per_second=10, headers={"Authorization": "Bearer me"})
        await until_true(lambda: viewer.pieces >= 5)
    assert served.tokens == {"Bearer me"}
    assert viewer.last_media_at > viewer.first_media_at
