"""Tests of camrelay.fanout.hls.window, through requests to a real listener."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from functools import partial

import msgspec
import pytest

from builders import AAC, PARAMS, SPS_720P, make_au, make_gop, make_params, make_sound
from camrelay import config, metrics
from camrelay.errors import Overloaded
from camrelay.fanout.hls import parser, window
from camrelay.fanout.hls.waiting import Pending
from camrelay.model import CameraState, CameraStatus, EndReason
from fanout.hls.serving import CAMERA, Served, serve

LIVE = CameraStatus(state=CameraState.LIVE, since_us=0)
OFFLINE = CameraStatus(state=CameraState.OFFLINE, since_us=0, reason="unreachable")
CONNECTING = CameraStatus(state=CameraState.CONNECTING, since_us=0)
STANDBY = CameraStatus(state=CameraState.STANDBY, since_us=0)
#: The shortest everything, for tests that wait for time to pass.
QUICK = config.Hls(part_ms=100, target_duration_s=1, segment_s=1.0)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as running:
        yield running


async def waiting(served: Served, count: int = 1) -> None:
    """Returns when that many requests wait."""
    async with asyncio.timeout(5):
        while served.server.waiting(CAMERA) != count:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)


class TestPlaylists:
    async def test_come_with_the_first_part(self, served: Served) -> None:
        """Asked before there is anything, multivariant and media playlist wait for the first part."""
        multivariant = asyncio.create_task(served.text("index.m3u8"))
        media = asyncio.create_task(served.text())
        await waiting(served, 2)

        served.feed(pictures=6)

        (variant,) = parser.parse_multivariant(await multivariant)
        assert variant.uri == "main/stream.m3u8"
        assert variant.codecs == "avc1.64001e"
        assert variant.resolution == (640, 360)
        assert variant.frame_rate == 25.0
        assert len(parser.parse_media(await media).segments[0].parts) == 1

    async def test_begin_with_a_whole_segment(self, served: Served) -> None:
        """Of one part: what knows no parts, such as ffmpeg, has something to begin with at once."""
        served.feed(pictures=10)

        first, *rest = parser.parse_media(await served.text()).segments

        assert first.uri
        assert len(first.parts) == 1
        assert all(not segment.uri for segment in rest)

    async def test_of_a_camera_that_is_not_live_are_refused_at_once(self, served: Served) -> None:
        """Nobody waits for a camera that is known to be away, unless there is something to show."""
        served.hub.set_status(OFFLINE)
        async with served.get("index.m3u8") as answer:
            assert await answer.text() == "StreamNotReady"

        async with served.get("main/stream.m3u8?_HLS_msn=1") as answer:
            assert await answer.text() == "StreamNotReady"

        served.hub.set_status(LIVE)
        served.feed()
        served.hub.set_status(OFFLINE)
        assert await served.text("index.m3u8")

    async def test_of_a_camera_on_its_way_are_waited_for(self, served: Served) -> None:
        """An on-demand camera connects because of this request; when it is away, that is said."""
        served.hub.set_status(STANDBY)
        multivariant = asyncio.create_task(served.text("index.m3u8"))
        await waiting(served)
        served.hub.set_status(CONNECTING)
        served.hub.set_status(OFFLINE)
        with pytest.raises(AssertionError, match="StreamNotReady"):
            await multivariant

        served.hub.set_status(CONNECTING)
        media = asyncio.create_task(served.text())
        await waiting(served)
        served.hub.set_status(LIVE)
        served.feed(pictures=6)
        assert parser.parse_media(await media).segments[0].parts

    async def test_of_a_camera_that_was_at_rest_begin_anew(self, served: Served) -> None:
        """Nobody is shown what was left of the last viewing, and no number goes back."""
        served.hub.set_status(LIVE)
        served.feed(pictures=60)
        before = parser.parse_media(await served.text())

        served.hub.set_status(STANDBY)
        served.hub.set_status(CONNECTING)
        media = asyncio.create_task(served.text())
        await waiting(served)
        served.hub.set_status(LIVE)
        served.feed(pictures=6)

        after = parser.parse_media(await media)
        assert len(after.segments) == 1
        assert not {part.uri for part in before.segments[0].parts} & {p.uri for p in after.segments[0].parts}
        assert after.media_sequence >= before.media_sequence
        assert after.discontinuity_sequence > before.discontinuity_sequence

    async def test_are_rendered_once_a_version(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        """Everybody who asks for the same version gets the same bytes, made once."""
        served.feed()
        renders = []
        render = window.Window._render
        monkeypatch.setattr(window.Window, "_render", lambda *a: (renders.append(a[1:]), render(*a))[1])

        texts = {await served.text() for _ in range(5)}
        served.feed()
        await served.text()

        assert len(texts) == 1
        assert len(renders) == 2

    async def test_are_compressed_for_who_accepts_it(self, served: Served) -> None:
        """gzip if asked for, not if refused by weight; shared caches keep both apart."""
        served.feed()
        plain = await served.text()

        async with served.get("main/stream.m3u8", headers={"Accept-Encoding": "br, gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert gzip.decompress(await answer.read()).decode() == plain
        async with served.get("main/stream.m3u8", headers={"Accept-Encoding": "gzip;q=0, br"}) as answer:
            assert "Content-Encoding" not in answer.headers

    async def test_of_private_cameras_are_kept_by_nobody(self, served: Served) -> None:
        """Case 33: and neither are their parts."""
        served.feed()

        for path in ("index.m3u8", "main/stream.m3u8", await part_path(served)):
            async with served.get(path) as answer:
                assert answer.headers["Cache-Control"] == "private, no-store"

    async def test_of_public_cameras_can_be_shared(self) -> None:
        """rfc8216bis App. B: six TARGETDURATIONs for blocking reloads, half of one for others."""
        async with serve(is_public=True) as served:
            served.feed()
            msn = parser.parse_media(await served.text()).media_sequence
            expected = {
                "main/stream.m3u8": "public, max-age=2",
                f"main/stream.m3u8?_HLS_msn={msn}&_HLS_part=0": "public, max-age=24",
                await part_path(served): "public, max-age=12",
            }
            for path, cache_control in expected.items():
                async with served.get(path) as answer:
                    assert answer.headers["Cache-Control"] == cache_control

    async def test_delta_updates_for_long_windows(self) -> None:
        """_HLS_skip gives a delta where there is something to skip, and is ignored elsewhere."""
        async with serve(config.Hls(target_duration_s=1, segment_s=1.0, window_segments=12)) as served:
            for _ in range(6):
                served.feed(pictures=25)
            assert parser.parse_media(await served.text("main/stream.m3u8?_HLS_skip=YES")).version == 6
            for _ in range(5):
                served.feed(pictures=25)

            whole = parser.parse_media(await served.text())
            for value in ("YES", "v2"):
                delta = parser.parse_media(await served.text(f"main/stream.m3u8?_HLS_skip={value}"))
                assert delta.skipped_segments > 0
                assert delta.last_msn == whole.last_msn


class TestBlocking:
    async def test_many_reloads_are_released_by_one_part(self, served: Served) -> None:
        """All who wait for a part get the same version when it is there, and not before."""
        served.feed()
        newest = parser.parse_media(await served.text())
        next_part = len(newest.segments[-1].parts)
        path = f"main/stream.m3u8?_HLS_msn={newest.last_msn}&_HLS_part={next_part}"
        reloads = [asyncio.create_task(served.text(path)) for _ in range(90)]
        await waiting(served, 90)

        served.feed([make_au(served.dts + i * 3600) for i in range(5)])
        texts = {await reload for reload in reloads}

        assert len(texts) == 1
        assert len(parser.parse_media(texts.pop()).segments[-1].parts) == next_part + 1
        assert served.server.waiting(CAMERA) == 0

    async def test_a_thousand_are_one_render(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        """And one answer, that all of them share."""
        served.feed()
        newest = parser.parse_media(await served.text())
        target = f"main/stream.m3u8?_HLS_msn={newest.last_msn}&_HLS_part={len(newest.segments[-1].parts)}"
        renders, answers = list[object](), list[object]()
        render = window.Window._render
        monkeypatch.setattr(window.Window, "_render", lambda *a: (renders.append(a), render(*a))[1])
        all_told = asyncio.Event()

        def told(number: int, answer: object) -> None:
            answers.append(answer)
            if len(answers) == 1000:
                all_told.set()

        for number in range(1000):
            pending = served.server.find(served.viewer, target.encode(), gzip=True)
            assert isinstance(pending, Pending)
            pending.join(partial(told, number))

        served.feed([make_au(served.dts + i * 3600) for i in range(5)])
        async with asyncio.timeout(5):
            await all_told.wait()

        assert len(renders) == 1
        assert len({id(answer) for answer in answers}) == 1

    async def test_a_segment_is_waited_for_until_its_end(self, served: Served) -> None:
        """_HLS_msn alone means the whole segment."""
        served.feed(pictures=49)
        msn = parser.parse_media(await served.text()).last_msn
        reload = asyncio.create_task(served.text(f"main/stream.m3u8?_HLS_msn={msn}"))
        await waiting(served)

        served.feed([make_au(served.dts)])
        await asyncio.sleep(0)
        assert not reload.done()
        served.feed([make_au(served.dts + 3600, is_key=True)])

        assert parser.parse_media(await reload).segments[1].uri != ""

    async def test_old_numbers_are_answered_at_once_with_everything(self, served: Served) -> None:
        """Also numbers that left the window long ago."""
        served.feed()

        assert await served.text("main/stream.m3u8?_HLS_msn=1&_HLS_part=9") == await served.text()

    async def test_the_hinted_part_waits_for_all_its_bytes(self, served: Served) -> None:
        """A preload hint can be requested at once and is answered when the part is whole."""
        served.feed()
        hint = parser.parse_media(await served.text()).hints[0].uri
        request = asyncio.create_task(self.read(served, hint))
        await waiting(served)

        served.feed([make_au(served.dts + i * 3600) for i in range(5)])

        assert (await request)[4:8] == b"moof"
        after = parser.parse_media(await served.text())
        assert hint in [part.uri for part in after.segments[-1].parts]

    async def test_a_hint_may_turn_out_to_be_a_gap(self) -> None:
        """The camera went away before the hinted part was made: 404, as for any gap."""
        async with serve(QUICK) as served:
            served.feed()
            hint = parser.parse_media(await served.text()).hints[0].uri

            async with served.get(f"main/{hint}") as answer:
                assert await answer.text() == "NotFound"

    async def test_nobody_waits_beyond_the_end_of_the_viewing(self, served: Served) -> None:
        """Case 7: revoked while waiting, the request is released at once."""
        served.feed()
        msn = parser.parse_media(await served.text()).last_msn
        reload = asyncio.create_task(served.get(f"main/stream.m3u8?_HLS_msn={msn}").__aenter__())
        await waiting(served)

        served.viewer.end(EndReason.REVOKED)

        async with await reload as answer:
            assert await answer.text() == "SessionEnded"
        assert served.errors[0].reason == EndReason.REVOKED  # type: ignore[attr-defined]

    async def test_clients_that_go_away_are_forgotten(self, served: Served) -> None:
        """Nothing waits for them any longer."""
        served.feed()
        msn = parser.parse_media(await served.text()).last_msn
        reload = asyncio.create_task(served.text(f"main/stream.m3u8?_HLS_msn={msn}"))
        await waiting(served)

        reload.cancel()

        await waiting(served, 0)

    async def test_waiting_has_an_end(self) -> None:
        """Three TARGETDURATIONs without it, and the client is told to try again (§6.2.5.2)."""
        async with (
            serve(QUICK) as served,
            asyncio.timeout(5),
            served.get("main/stream.m3u8") as answer,
        ):
            assert await answer.text() == "StreamNotReady"

    async def test_waiting_has_a_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One camera cannot hold any number of requests."""
        monkeypatch.setattr(window, "MAX_WAITERS", 1)
        async with serve() as served:
            first = asyncio.create_task(served.text())
            await waiting(served)

            async with served.get("main/stream.m3u8") as answer:
                assert await answer.text() == "Overloaded"

            assert isinstance(served.errors[0], Overloaded)
            served.feed()
            await first

    async def test_a_removed_camera_lets_everybody_go(self, served: Served) -> None:
        """Who waits and who asks later: not found."""
        reload = asyncio.create_task(served.get("main/stream.m3u8").__aenter__())
        await waiting(served)

        served.server.detach(CAMERA)

        async with await reload as answer:
            assert await answer.text() == "NotFound"
        async with served.get("main/stream.m3u8") as answer:
            assert await answer.text() == "NotFound"

    async def test_two_endings_at_once_are_one(self, served: Served) -> None:
        """The viewing ends and the camera goes in the same tick: the first one counts."""
        reload = asyncio.create_task(served.get("main/stream.m3u8").__aenter__())
        await waiting(served)

        served.viewer.end(EndReason.CAMERA_REMOVED)
        served.server.detach(CAMERA)

        async with await reload as answer:
            assert await answer.text() == "SessionEnded"

    @staticmethod
    async def read(served: Served, name: str) -> bytes:
        async with served.get(f"main/{name}") as answer:
            assert answer.status == 200
            return await answer.read()


class TestMedia:
    async def test_a_segment_is_its_parts(self, served: Served) -> None:
        """The same bytes, whole or in parts; and the init section beside them."""
        served.feed(pictures=50)
        served.feed(pictures=6)
        playlist = parser.parse_media(await served.text())
        segment = playlist.segments[0]

        whole = await TestBlocking.read(served, segment.uri)
        parts = [await TestBlocking.read(served, part.uri) for part in segment.parts]
        init = await TestBlocking.read(served, str(segment.map_uri))

        assert whole == b"".join(parts)
        assert init[4:8] == b"ftyp"

    async def test_what_left_long_ago_is_gone(self, served: Served) -> None:
        """Segments, parts and init sections that nobody may still expect are dropped."""
        served.feed(pictures=50)
        served.feed(pictures=50)
        first = parser.parse_media(await served.text()).segments[0]
        names = [first.uri, first.parts[0].uri, first.map_uri]
        loop = asyncio.get_running_loop()
        changed = make_params(sps=SPS_720P)

        for _ in range(12):
            served.feed(make_gop(served.dts, units=50, params=changed))
            served.dts += 180_000
        assert [await self.status(served, name) for name in names] == [200, 200, 200]
        real_time, ahead = loop.time, 60
        loop.time = lambda: real_time() + ahead  # type: ignore[method-assign]
        for _ in range(2):
            served.feed(make_gop(served.dts, units=50, params=changed))
            served.dts += 180_000
        loop.time = real_time  # type: ignore[method-assign]

        assert [await self.status(served, name) for name in names] == [418, 418, 418]

    async def test_unknown_names_are_not_found(self, served: Served) -> None:
        """Nothing is made up."""
        served.feed()
        assert await self.status(served, "no.m4s") == 418
        assert type(served.errors[0]).__name__ == "NotFound"

    @staticmethod
    async def status(served: Served, name: str | None) -> int:
        async with served.get(f"main/{name}") as answer:
            return answer.status


class TestOutage:
    async def test_silence_becomes_gaps_after_a_grace(self) -> None:
        """A live camera that is late: nothing at first, then gap segments on a timer."""
        async with serve(QUICK) as served:
            served.feed(pictures=30)
            before = parser.parse_media(await served.text())

            async with asyncio.timeout(5):
                playlist = parser.parse_media(
                    await served.text(f"main/stream.m3u8?_HLS_msn={before.last_msn + 1}")
                )

            gap = playlist.segments[-1]
            assert gap.is_gap
            assert all(part.is_gap for part in gap.parts)
            assert not before.segments[-1].is_gap
            async with served.get(f"main/{gap.uri}") as answer:
                assert await answer.text() == "NotFound"

    async def test_a_camera_that_is_offline_gets_gaps_at_once(self) -> None:
        """And one discontinuity when it is back, with numbers that only grow."""
        async with serve(config.Hls(part_ms=100)) as served:
            served.feed(pictures=30)
            before = parser.parse_media(await served.text())
            path = f"main/stream.m3u8?_HLS_msn={before.last_msn + 1}&_HLS_part=0"

            served.hub.set_status(OFFLINE)
            async with asyncio.timeout(1.0):  # well within the grace of a live camera
                playlist = parser.parse_media(await served.text(path))
            assert playlist.segments[-1].parts[0].is_gap
            served.hub.set_status(LIVE)
            served.feed(make_gop(900_000, discontinuity=True))

            after = parser.parse_media(await served.text())
            assert [s.is_discontinuity for s in after.segments] == [False] * (len(after.segments) - 1) + [
                True
            ]
            assert after.media_sequence == before.media_sequence

    async def test_pictures_on_their_way_are_no_gap(self) -> None:
        """Back after an outage, the first part takes its time; the clock must not cut it short."""
        async with serve(config.Hls(part_ms=100)) as served:
            served.feed(pictures=30)
            served.hub.set_status(OFFLINE)
            msn = parser.parse_media(await served.text()).last_msn
            async with asyncio.timeout(5):
                await served.text(f"main/stream.m3u8?_HLS_msn={msn + 1}&_HLS_part=0")
            served.hub.set_status(LIVE)
            units = make_gop(900_000, discontinuity=True)

            served.feed(units[:1])
            await asyncio.sleep(0.35)  # three turns of the clock
            served.feed(units[1:])

            *_, gap, resumed = parser.parse_media(await served.text()).segments
            assert gap.is_gap
            assert not resumed.is_gap
            assert resumed.is_discontinuity
            assert sum(part.duration_s for part in resumed.parts) >= 0.9

    async def test_a_long_sleep_is_not_made_up_for_part_by_part(self) -> None:
        """A process that did not run for an hour lists what a player may still care about."""
        async with serve(QUICK) as served:
            served.feed(pictures=30)
            before = parser.parse_media(await served.text())
            loop = asyncio.get_running_loop()
            real_time = loop.time

            loop.time = lambda: real_time() + 3600  # type: ignore[method-assign]
            async with asyncio.timeout(5):
                await served.text(f"main/stream.m3u8?_HLS_msn={before.last_msn + 1}")
            loop.time = real_time  # type: ignore[method-assign]

            after = parser.parse_media(await served.text())
            assert 0 < after.last_msn - before.last_msn <= 5


async def test_a_stream_it_cannot_use_harms_nobody(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Parameter sets that fit no init section: logged once, dropped, and the output stays attached."""
    broken = msgspec.structs.replace(PARAMS, pps=())
    with caplog.at_level(logging.WARNING, "camrelay.fanout"):
        served.feed(make_gop(0, units=10, params=broken))
    served.feed(make_gop(90_000, units=10))

    assert parser.parse_media(await served.text()).segments
    assert caplog.text.count("not for HLS") == 1
    assert all(record.camera == CAMERA for record in caplog.records)  # type: ignore[attr-defined]


async def part_path(served: Served) -> str:
    """Of some part that is there."""
    return "main/" + parser.parse_media(await served.text()).segments[0].parts[0].uri


class TestSound:
    async def test_aac_is_in_the_parts_and_what_is_left_out_is_counted(self, served: Served) -> None:
        """By the camera's own counter."""

        def left_out() -> float:
            labels = {"camera": CAMERA, "reason": "sound"}
            return (
                metrics.REGISTRY.get_sample_value("camrelay_camera_dropped_access_units_total", labels) or 0
            )

        before = left_out()
        for au in make_gop(0, units=20, params=make_params(audio=AAC)):
            served.hub.publish(au)
            served.hub.publish_sound(make_sound(au.pts, data=b"heard"))
        served.hub.publish_sound(make_sound(0, data=b"late"))
        newest = parser.parse_media(await served.text()).segments[-1].parts[-1]

        async with served.get(f"main/{newest.uri}") as answer:
            assert b"heard" in await answer.read()
        assert left_out() == before + 1
