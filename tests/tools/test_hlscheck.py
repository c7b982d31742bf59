"""Tests of camrelay.tools.hlscheck and hlsprobe: a good server, the same one with planted faults, none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import msgspec
import pytest
from aiohttp import web

from builders import make_gop
from camrelay import config
from camrelay.errors import BadRequest, CamrelayError, NotFound
from camrelay.fanout.hls.response import Content, settled
from camrelay.fanout.hub import Hub
from camrelay.model import Rendition
from camrelay.tools import hlscheck
from camrelay.tools.hlscheck import check, report
from fanout.hls.serving import CAMERA, Served, serve

#: A window long enough for delta updates, of the shortest segments.
OPTIONS = config.Hls(part_ms=100, target_duration_s=1, segment_s=1.0, window_segments=9)

Spoil = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def status_of(error: CamrelayError) -> int:
    return {BadRequest: 400, NotFound: 404}.get(type(error), 503)


@asynccontextmanager
async def live(options: config.Hls = OPTIONS) -> AsyncIterator[Served]:
    """A camera in real time, that has been running for nine segments."""
    async with serve(options) as served:
        served.status_of = status_of
        for _ in range(9):
            served.feed(pictures=25)

        async def play() -> None:
            loop = asyncio.get_running_loop()
            began, start = loop.time(), served.dts
            while True:
                for au in make_gop(served.dts, units=25):
                    await asyncio.sleep(max(0.0, began + (au.dts - start) / 90_000 - loop.time()))
                    served.hub.publish(au)
                served.dts += 90_000

        playing = asyncio.create_task(play())
        try:
            yield served
        finally:
            playing.cancel()


async def test_a_good_server_breaks_nothing() -> None:
    """Every rule, every probe, segments and parts; and what is printed names no URL."""
    async with live() as served:
        run = await check(f"{served.url}/index.m3u8", {"X-Any": "1"}, seconds=4.5)

    text = report(run)
    assert run.failures == []
    assert run.versions > 30
    assert run.parts > 30
    assert run.segments >= 8
    assert "FIGURE hls_rule_failures 0" in text
    assert "/m/" not in text


class _Copy:
    """An output that plays a stream to another hub."""

    def __init__(self, hub: Hub) -> None:
        self.access_unit = hub.publish
        self.status = hub.set_status


async def test_every_variant_is_followed() -> None:
    """Both streams of a camera, with the reports that each makes of the other."""
    async with live() as served:
        smaller = Hub(CAMERA, config.Ring(), Rendition.SUB)
        served.server.attach(smaller, is_public=False)
        for au in make_gop(0, units=225):
            smaller.publish(au)
        served.hub.attach(_Copy(smaller))

        run = await check(f"{served.url}/index.m3u8", {}, seconds=2.5)

    assert run.failures == []
    assert run.versions > 30


def answer(body: bytes, **headers: str) -> web.Response:
    return web.Response(body=body, headers={"Cache-Control": "no-store", **headers})


async def playlist(served: Served, query: str = "", *, gzip: bool = False) -> bytes:
    found = served.server.find(served.viewer, f"main/stream.m3u8?{query}".encode(), gzip=gzip)
    return (await settled(found, served.viewer)).body[0]


def faults(served: Served) -> dict[str, Spoil]:
    """Name of a fault -> what a server with it answers; the name begins with the rule."""
    calls = count()

    async def accepts_part_alone(request: web.Request) -> web.Response | None:
        return answer(await playlist(served)) if request.query_string == "_HLS_part=0" else None

    async def refuses_late(request: web.Request) -> web.Response | None:
        if request.query_string == "_HLS_part=0":
            await asyncio.sleep(0.5)
        return None

    async def makes_things_up(request: web.Request) -> web.Response | None:
        return answer(b"x") if request.path.endswith("no-such-part.m4s") else None

    async def forgets_the_past(request: web.Request) -> web.Response | None:
        msn = int(request.query.get("_HLS_msn", 10**12))
        return web.Response(status=400) if msn < 1_600_000_000 or msn < served.first_msn() else None

    async def sends_deltas_for_the_past(request: web.Request) -> web.Response | None:
        msn = int(request.query.get("_HLS_msn", 10**12))
        return answer(await playlist(served, "_HLS_skip=YES")) if msn < served.first_msn() else None

    async def does_not_wait(request: web.Request) -> web.Response | None:
        return answer(await playlist(served)) if request.query_string.startswith("_HLS_msn") else None

    async def differs(request: web.Request) -> web.Response | None:
        if "_HLS_msn" not in request.query:
            return None
        return answer(await playlist(served, request.query_string) + b"# %d\n" % next(calls))

    async def has_no_hint(request: web.Request) -> web.Response | None:
        name = request.match_info.get("name", "")
        if not name.endswith(".m4s"):
            return None
        found = served.server.find(served.viewer, f"main/{name}".encode(), gzip=False)
        return None if isinstance(found, Content) else web.Response(status=404)

    async def sends_hints_early(request: web.Request) -> web.Response | None:
        name = request.match_info.get("name", "")
        if not name.endswith(".m4s") or "no-such" in name:
            return None
        found = served.server.find(served.viewer, f"main/{name}".encode(), gzip=False)
        return None if isinstance(found, Content) else answer(b"not yet")

    async def ignores_skip(request: web.Request) -> web.Response | None:
        return answer(await playlist(served)) if "_HLS_skip" in request.query_string else None

    async def fails_skip(request: web.Request) -> web.Response | None:
        return answer(b"x") if "_HLS_skip" in request.query_string else None

    async def spoils_skip(request: web.Request) -> web.Response | None:
        if "_HLS_skip" not in request.query_string:
            return None
        delta = await playlist(served, "_HLS_skip=YES")
        return answer(delta.replace(b"DATE-TIME:20", b"DATE-TIME:19"))

    async def sends_old_deltas(request: web.Request) -> web.Response | None:
        if "_HLS_skip" not in request.query_string:
            return None
        delta = await playlist(served, "_HLS_skip=YES")
        return answer(delta.replace(b"SEQUENCE:17", b"SEQUENCE:16"))

    async def offers_no_skip(request: web.Request) -> web.Response | None:
        if not request.path.endswith("stream.m3u8"):
            return None
        body = await playlist(served, request.query_string)
        return answer(body.replace(b",CAN-SKIP-UNTIL=6", b""))

    async def compresses_nothing(request: web.Request) -> web.Response | None:
        return answer(await playlist(served)) if "gzip" in request.headers["Accept-Encoding"] else None

    async def tells_caches_nothing(request: web.Request) -> web.Response | None:
        if "gzip" not in request.headers["Accept-Encoding"]:
            return None
        return web.Response(body=await playlist(served, gzip=True), headers={"Content-Encoding": "gzip"})

    async def tells_caches_nothing_of_parts(request: web.Request) -> web.Response | None:
        name = request.match_info.get("name", "")
        if name[8:9] != "p":
            return None
        found = served.server.find(served.viewer, f"main/{name}".encode(), gzip=False)
        return web.Response(body=found.body[0]) if isinstance(found, Content) else None

    async def loses_segments(request: web.Request) -> web.Response | None:
        is_segment = request.match_info.get("name", "")[8:9] == "s"
        return web.Response(status=404) if is_segment else None

    async def has_no_reports(request: web.Request) -> web.Response | None:
        if not request.path.endswith("index.m3u8"):
            return None
        streams = b"".join(b"#EXT-X-STREAM-INF:BANDWIDTH=9\nmain/stream.m3u8?v=%d\n" % i for i in range(2))
        return answer(b"#EXTM3U\n" + streams)

    return {
        "H15 accepts a part alone": accepts_part_alone,
        "H15 refuses late": refuses_late,
        "H13 makes things up": makes_things_up,
        "H14 forgets the past": forgets_the_past,
        "H14 sends deltas for the past": sends_deltas_for_the_past,
        "H14 does not wait": does_not_wait,
        "H18 differs": differs,
        "H13 has no hint": has_no_hint,
        "H13 sends hints early": sends_hints_early,
        "H16 ignores skip": ignores_skip,
        "H16 fails skip": fails_skip,
        "H16 spoils skip": spoils_skip,
        "H16 sends old deltas": sends_old_deltas,
        "H16 offers no skip": offers_no_skip,
        "H18 compresses nothing": compresses_nothing,
        "H19 tells caches nothing": tells_caches_nothing,
        "H19 tells caches nothing of parts": tells_caches_nothing_of_parts,
        "H7 loses segments": loses_segments,
        "H17 has no reports": has_no_reports,
    }


#: Faults that do not hide each other.
GROUPS = [
    [
        "H15 accepts a part alone",
        "H13 makes things up",
        "H14 forgets the past",
        "H18 differs",
        "H16 ignores skip",
        "H19 tells caches nothing",
    ],
    ["H14 sends deltas for the past", "H13 has no hint", "H16 spoils skip", "H18 compresses nothing"],
    ["H15 refuses late", "H13 sends hints early", "H16 sends old deltas", "H7 loses segments"],
    ["H14 does not wait", "H16 fails skip", "H19 tells caches nothing of parts"],
    ["H16 offers no skip"],
    ["H17 has no reports"],
]


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
async def test_planted_faults_are_found(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each probe, by a server that answers some things wrong."""
    monkeypatch.setattr("camrelay.tools.hlsprobe._AT_ONCE_S", 0.3)
    async with live() as served:
        spoils = [faults(served)[name] for name in names]

        async def spoil(request: web.Request) -> web.StreamResponse | None:
            for one in spoils:
                if (spoiled := await one(request)) is not None:
                    return spoiled
            return None

        served.spoil = spoil
        wanted, broken = {name.split()[0] for name in names}, set[str]()
        # A second is enough for every probe, if nobody else wants the processor.
        async with asyncio.timeout(60):
            while not wanted <= broken:
                run = await check(f"{served.url}/index.m3u8", {}, seconds=1.0)
                broken |= {failure.rule for failure in run.failures}


async def test_a_segment_that_vanishes_early_is_found() -> None:
    """H7: removed from the playlist is not removed from the server."""
    async with live(msgspec.structs.replace(OPTIONS, window_segments=3)) as served:

        async def forget(request: web.Request) -> web.Response | None:
            name = request.match_info.get("name", "")
            is_gone = name[8:9] == "s" and name not in await playlist_names(served)
            return web.Response(status=404) if is_gone else None

        served.spoil = forget
        run = await check(f"{served.url}/index.m3u8", {}, seconds=7.0)

    assert any("vanished" in failure.text for failure in run.failures)


async def playlist_names(served: Served) -> list[str]:
    """Of the segments that are listed now."""
    return [line for line in (await playlist(served)).decode().splitlines() if line and line[0] != "#"]


async def test_a_restart_is_followed() -> None:
    """The server is away for a moment and comes back: no failure by itself."""
    async with live() as served:

        async def away(request: web.Request) -> web.Response | None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=502)

        running = asyncio.create_task(check(f"{served.url}/index.m3u8", {}, seconds=2.0))
        await asyncio.sleep(0.7)
        served.spoil = away
        await asyncio.sleep(0.5)
        served.spoil = None
        run = await running

    assert run.failures == []
    assert run.versions > 5


async def test_a_server_that_stays_away_ends_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """After _AWAY_S there is nothing to check any more."""
    monkeypatch.setattr(hlscheck, "_AWAY_S", 0.3)
    async with live() as served:

        async def away(request: web.Request) -> web.Response | None:
            return web.Response(status=502) if request.path.endswith("stream.m3u8") else None

        running = asyncio.create_task(check(f"{served.url}/index.m3u8", {}, seconds=5.0))
        await asyncio.sleep(0.5)
        served.spoil = away
        with pytest.raises(hlscheck.NotServed):
            await running


class TestCommand:
    def test_says_when_there_is_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Exit status 2, and no URL in the text."""
        assert hlscheck.main(["http://127.0.0.1:9/m/secret/door/index.m3u8", "--seconds", "1"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err == "no playlist to check: ClientConnectorError\n"

    async def test_prints_rules_and_figures(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One line a broken rule with an example, then the figures; exit status 1."""
        async with live() as served:
            served.spoil = faults(served)["H18 compresses nothing"]
            arguments = [f"{served.url}/index.m3u8", "--seconds", "1", "--versions", "12", "--bearer", "x"]
            assert await asyncio.to_thread(hlscheck.main, arguments) == 1
        out = capsys.readouterr().out
        assert "H18: 1 x, such as: the playlist is not compressed" in out
        assert "FIGURE hls_rule_failures 1" in out
