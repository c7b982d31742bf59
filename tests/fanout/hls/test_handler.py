"""Tests of camrelay.fanout.hls.handler: what requests may say. What they get is tested with the window."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from camrelay.fanout.hls import parser
from fanout.hls.serving import CAMERA, Served, serve


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as running:
        running.feed(pictures=50)
        running.feed(pictures=10)
        yield running


class TestDirectives:
    @pytest.mark.parametrize(
        "query",
        [
            "_HLS_part=0",
            "_HLS_msn=x",
            "_HLS_msn=",
            "_HLS_msn=-1",
            "_HLS_msn=1.5",
            "_HLS_msn=\u0661",
            "_HLS_msn=1&_HLS_part=x",
            "_HLS_msn=9999999999999999",
            "_HLS_msn=999999999999999",
        ],
    )
    async def test_malformed_ones_are_refused(self, served: Served, query: str) -> None:
        """A part without its segment, what is no number, what nobody can wait for: 400 at once."""
        async with served.get(f"main/stream.m3u8?{query}") as answer:
            assert await answer.text() == "BadRequest"

    async def test_too_far_ahead_is_refused(self, served: Served) -> None:
        """More than two segments after the last one, or parts beyond the Advance Part Limit (§6.2.5.2)."""
        last = parser.parse_media(await served.text()).last_msn - 1
        for query in (f"_HLS_msn={last + 3}", f"_HLS_msn={last + 1}&_HLS_part=99"):
            async with served.get(f"main/stream.m3u8?{query}") as answer:
                assert await answer.text() == "BadRequest"

    @pytest.mark.parametrize(
        "query", ["", "a=b", "_HLS_new=1", "_HLS_skip=NO", "x_HLS_part=1", "&&", "_HLS_"]
    )
    async def test_unknown_parameters_are_ignored(self, served: Served, query: str) -> None:
        """Other people's parameters, and directives of later drafts."""
        assert await served.text(f"main/stream.m3u8?{query}") == await served.text()


class TestRequests:
    async def test_head_is_answered_like_get(self, served: Served) -> None:
        """Same head, no body, for every kind of resource."""
        part = parser.parse_media(await served.text()).segments[-1].parts[0].uri
        for path in ("index.m3u8", "main/stream.m3u8", f"main/{part}"):
            async with served.client.head(f"{served.url}/{path}") as head, served.get(path) as get:
                assert head.status == 200
                assert head.headers["Content-Length"] == get.headers["Content-Length"]
                assert head.headers["Content-Type"] == get.headers["Content-Type"]

    async def test_media_types(self, served: Served) -> None:
        """Playlists by name and type (§4), media as MP4."""
        part = parser.parse_media(await served.text()).segments[-1].parts[0].uri
        types = {}
        for path in ("index.m3u8", "main/stream.m3u8", f"main/{part}"):
            async with served.get(path) as answer:
                types[path] = answer.headers["Content-Type"]
        assert list(types.values()) == [
            "application/vnd.apple.mpegurl",
            "application/vnd.apple.mpegurl",
            "video/mp4",
        ]

    async def test_names_say_nothing_and_differ_between_starts(self, served: Served) -> None:
        """A random prefix, so that no cache ever serves another process's part."""
        part = parser.parse_media(await served.text()).segments[-1].parts[0].uri
        async with serve() as other:
            other.feed()
            other_part = parser.parse_media(await other.text()).segments[-1].parts[0].uri

        pattern = re.compile(r"([0-9a-f]{8})p\d+\.m4s")
        first, second = pattern.fullmatch(part), pattern.fullmatch(other_part)
        assert first
        assert second
        assert first[1] != second[1]

    async def test_a_later_start_counts_from_higher_numbers(self, served: Served) -> None:
        """Media sequence numbers start at the unix time; those of discontinuities may not be large."""
        first = parser.parse_media(await served.text())
        assert first.media_sequence > 1_700_000_000
        assert first.discontinuity_sequence == 0

    async def test_a_camera_that_is_not_attached_is_not_found(self, served: Served) -> None:
        """The gate may know cameras that have no HLS."""
        served.server.detach(CAMERA)
        assert list(served.server.cameras) == []
        async with served.get("index.m3u8") as answer:
            assert await answer.text() == "NotFound"
