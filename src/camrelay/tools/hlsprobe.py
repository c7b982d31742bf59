"""Requests that ask a server for what a player may ask: H7, H13 to H16, H18 and H19 of the conformance list.

Each probe sends one or two requests and yields what was broken. Answers that depend on what comes next are
compared with the playlist that comes next. A machine that is busy with other things is no broken rule: what
was asked too late to tell is not judged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urljoin

import aiohttp

from camrelay.fanout.hls.playlist import MediaPlaylist
from camrelay.tools.hlsrules import Failure, Fetched, read_media

#: What a server may take for an answer that it need not wait for, beyond what any answer takes just now.
_AT_ONCE_S = 1.0
#: Longest answer read; a live playlist or segment is far smaller.
_MAX_BODY_BYTES = 64_000_000


class Client:
    """GETs below one URL."""

    def __init__(self, session: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        self._session = session
        self._headers = headers

    async def get(self, url: str, *, gzip: bool = False) -> Fetched:
        """An answer, body decoded only as far as HTTP goes: gzip stays gzip.

        Raises:
            aiohttp.ClientError, TimeoutError: there was none.
        """
        headers = {**self._headers, "Accept-Encoding": "gzip" if gzip else "identity"}
        async with self._session.get(url, headers=headers) as answer:
            body = await answer.content.read(_MAX_BODY_BYTES)
            while not answer.content.at_eof():
                body += await answer.content.read(_MAX_BODY_BYTES)
            names = {name.lower(): value for name, value in answer.headers.items()}
            return Fetched(time.monotonic(), answer.status, names, body, str(answer.url))


async def probe(client: Client, url: str, playlist: MediaPlaylist) -> AsyncIterator[Failure]:
    """Every probe once.

    Args:
        url: of the media playlist.
        playlist: a version of it that has just been read.
    """
    async for failure in _probe_errors(client, url, playlist):
        yield failure
    async for failure in _probe_old(client, url, playlist):
        yield failure
    async for failure in _probe_blocking(client, url, playlist):
        yield failure
    async for failure in _probe_hint(client, url, playlist):
        yield failure
    async for failure in _probe_skip(client, url):
        yield failure
    async for failure in _probe_delivery(client, url, playlist):
        yield failure


async def is_there(client: Client, url: str) -> bool:
    """Whether a resource can still be fetched."""
    return (await client.get(url)).status == 200


async def _probe_errors(client: Client, url: str, playlist: MediaPlaylist) -> AsyncIterator[Failure]:
    """H15: what has to be refused at once [6.2.5.2]; H13: unknown resources are not found."""
    part_target_s = playlist.part_target_s or 1.0
    limit = round(3 / part_target_s) if part_target_s < 1 else 3
    refused = {
        "_HLS_part without _HLS_msn": "_HLS_part=0",
        "_HLS_msn far ahead": f"_HLS_msn={playlist.last_msn + 5}",
        "_HLS_part far ahead": f"_HLS_msn={playlist.last_msn + 1}&_HLS_part={limit + 10}",
    }
    for name, query in refused.items():
        answer, late_s = await _get_at_once(client, f"{url}?{query}", url)
        if answer.status != 400:
            newest = _playlist(await client.get(url))
            is_stale = "_HLS_msn=" in query and newest is not None and newest.last_msn > playlist.last_msn
            if not is_stale:
                yield Failure("H15", f"{name} gets status {answer.status}")
        elif late_s > _AT_ONCE_S:
            yield Failure("H15", f"{name} is refused late")
    if (await client.get(urljoin(url, "no-such-part.m4s"))).status != 404:
        yield Failure("H13", "an unknown resource is not 404")


async def _probe_old(client: Client, url: str, playlist: MediaPlaylist) -> AsyncIterator[Failure]:
    """H14: a number long gone gets the entire playlist at once [6.2.5.2]."""
    query = f"?_HLS_msn={max(0, playlist.media_sequence - 1)}&_HLS_part=0"
    answer, late_s = await _get_at_once(client, url + query, url)
    found = _playlist(answer)
    if found is None or late_s > _AT_ONCE_S:
        yield Failure("H14", f"an old _HLS_msn gets status {answer.status}, {late_s:.1f} s late")
    elif found.skipped_segments or found.last_msn < playlist.last_msn:
        yield Failure("H14", "an old _HLS_msn does not get the entire playlist")


async def _get_at_once(client: Client, url: str, other: str) -> tuple[Fetched, float]:
    """An answer that need not wait, and how much later it came than that to `other`, asked just before."""
    began = time.monotonic()
    usual = await client.get(other)
    answer = await client.get(url)
    return answer, (answer.at - usual.at) - (usual.at - began)


async def _probe_blocking(client: Client, url: str, playlist: MediaPlaylist) -> AsyncIterator[Failure]:
    """H14: what was asked for is in the answer; H18: equal requests have equal answers."""
    msn, before = playlist.last_msn, len(playlist.segments[-1].parts)
    if playlist.segments[-1].uri:
        msn, before = msn + 1, 0
    whole, part, again = await asyncio.gather(
        client.get(f"{url}?_HLS_msn={msn}"),
        client.get(f"{url}?_HLS_msn={msn}&_HLS_part={before}"),
        client.get(f"{url}?_HLS_msn={msn}&_HLS_part={before}"),
    )
    found = _playlist(whole)
    if found is None or found.last_msn < msn or (found.last_msn == msn and not found.segments[-1].uri):
        yield Failure("H14", "_HLS_msn alone was answered before its segment was complete")
    found = _playlist(part)
    parts = len(found.segments[-1].parts) if found is not None and found.last_msn == msn else before + 1
    if found is None or found.last_msn < msn or parts <= before:
        yield Failure("H14", "_HLS_part was answered before its part was there")
    other = _playlist(again)
    if part.body != again.body and (found is None or other is None or _newest(found) == _newest(other)):
        yield Failure("H18", "equal blocking requests got different playlists")


async def _probe_hint(client: Client, url: str, playlist: MediaPlaylist) -> AsyncIterator[Failure]:
    """H13: the hinted part is answered, whole, and is the one that is listed next."""
    fresh = await client.get(url)
    found = _playlist(fresh)
    if found is None or not found.hints:
        return
    hint = next(hint for hint in found.hints if hint.type == "PART")
    answer = await client.get(urljoin(url, hint.uri))
    after = _playlist(await client.get(url))
    parts = {part.uri: part for segment in after.segments for part in segment.parts} if after else {}
    listed = parts.get(hint.uri)
    if listed is not None and not listed.is_gap and answer.status != 200:
        yield Failure("H13", f"the hinted part was answered with status {answer.status}")
    if answer.status == 200 and listed is None:
        yield Failure("H13", "the hinted part was sent before it is listed")
    if (
        listed is not None
        and (await client.get(urljoin(url, hint.uri))).body != answer.body
        and not listed.is_gap
    ):
        yield Failure("H13", "the hinted part was sent incomplete")


async def _probe_skip(client: Client, url: str) -> AsyncIterator[Failure]:
    """H16: a delta update where it is offered and possible, the directive ignored elsewhere [6.2.5.1]."""
    for value in ("YES", "v2"):
        whole = _playlist(await client.get(url))
        delta = _playlist(await client.get(f"{url}?_HLS_skip={value}"))
        if whole is None or delta is None:
            yield Failure("H16", f"_HLS_skip={value} is not answered with a playlist")
            continue
        boundary_s = whole.control.can_skip_until_s if whole.control else None
        if boundary_s is None:
            if delta.skipped_segments:
                yield Failure("H16", "a delta update that was never offered")
            continue
        length_s = sum(segment.duration_s for segment in whole.segments)
        if length_s - whole.segments[0].duration_s > boundary_s + 1 and not delta.skipped_segments:
            yield Failure("H16", f"_HLS_skip={value} gets no delta update")
        if delta.skipped_segments:
            kept = {segment.uri: segment for segment in whole.segments}
            listed = [segment for segment in delta.segments if segment.uri in kept]
            if any(s.program_date_time_us != kept[s.uri].program_date_time_us for s in listed):
                yield Failure("H16", "a delta update that differs from its playlist")
            if delta.last_msn < whole.last_msn:
                yield Failure("H16", "a delta update that is older than its playlist")


async def _probe_delivery(client: Client, url: str, playlist: MediaPlaylist) -> AsyncIterator[Failure]:
    """H18: gzip; H19: caches are told something about playlists and media."""
    compressed = await client.get(url, gzip=True)
    if compressed.headers.get("content-encoding") != "gzip":
        yield Failure("H18", "the playlist is not compressed")
    if "cache-control" not in compressed.headers:
        yield Failure("H19", "a playlist without Cache-Control")
    parts = [part for segment in playlist.segments for part in segment.parts if not part.is_gap]
    if parts:
        media = await client.get(urljoin(url, parts[-1].uri))
        if media.status == 200 and "cache-control" not in media.headers and "expires" not in media.headers:
            yield Failure("H19", "a part without Cache-Control or Expires")


def _newest(playlist: MediaPlaylist) -> tuple[int, int]:
    """What a version has that the one before had not."""
    return playlist.last_msn, len(playlist.segments[-1].parts) if playlist.segments else 0


def _playlist(answer: Fetched) -> MediaPlaylist | None:
    return read_media(answer.body.decode(errors="replace"))[0] if answer.status == 200 else None
