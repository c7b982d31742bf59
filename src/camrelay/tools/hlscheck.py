"""Follows a live camera as a low-latency player does and checks every rule of the conformance list.

`python -m camrelay.tools.hlscheck URL` records every version of each media playlist, every part and segment,
asks what players may ask, and fetches again what must still be there. It ends with one line a broken rule and
`FIGURE hls_rule_failures N`. The URL may redirect, and may be a capability: nothing that is printed holds it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import aiohttp

from camrelay.fanout.hls.playlist import MediaPlaylist, Segment, Variant
from camrelay.tools.hlshistory import History
from camrelay.tools.hlsmedia import Media
from camrelay.tools.hlsprobe import Client, is_there, probe
from camrelay.tools.hlsrules import (
    Failure,
    Fetched,
    check_media,
    check_text,
    read_media,
    read_multivariant,
)
from camrelay.tools.hlsvariants import Variants

#: A playlist reload blocks for a part, or in the worst case for three TARGETDURATIONs.
_ANSWER_S = 70.0
#: How long a server that restarts may be away.
_AWAY_S = 60.0
#: Between rounds of probes. Each round takes about a segment.
_PROBE_EVERY_S = 20.0
#: Removed segments are asked for this long before they may vanish.
_BEFORE_DEADLINE_S = 0.7
#: Examples printed of each broken rule.
_EXAMPLES = 3


class Outcome(NamedTuple):
    """What a run came to: how many versions, segments and parts were checked, and the broken rules."""

    versions: int
    segments: int
    parts: int
    failures: list[Failure]


class Check:
    """One run against one variant of a camera.

    Args:
        url: of the multivariant playlist.
        place: which variant it is there, from 0.
        variants: what is known of all of them.

    Attributes:
        versions, segments, parts: how many were checked.
        failures: broken rules in the order they were seen.
    """

    def __init__(self, client: Client, url: str, place: int, variants: Variants) -> None:
        self._client = client
        self._url = url
        self._place = place
        self._variants = variants
        self._media_url = ""
        self._others = 0
        self._history = History()
        self._media = Media()
        self._fetches: set[asyncio.Task[None]] = set()
        #: Requests for removed segments, most of them due long after the next version.
        self._later: set[asyncio.Task[None]] = set()
        #: Parts are checked before their segment, segments in order.
        self._in_order = asyncio.Lock()
        self._seen: set[str] = set()
        self._map_uri = ""
        #: Init sections that apply to what is listed now.
        self._maps: set[str] = set()
        self._checked_removals: set[int] = set()
        self.versions = self.segments = self.parts = 0
        self.failures: list[Failure] = []

    async def run(self, *, seconds: float, versions: int | None = None) -> None:
        """Checks until the time is over or that many versions were seen."""
        end = time.monotonic() + seconds
        await self._read_multivariant()
        playlist = await self._reload("")
        probed_at = 0.0
        probes: asyncio.Task[None] | None = None
        while time.monotonic() < end and (versions is None or self.versions < versions):
            if (probes is None or probes.done()) and time.monotonic() - probed_at > _PROBE_EVERY_S:
                probed_at = time.monotonic()
                if playlist.segments:
                    probes = asyncio.create_task(_unless_away(partial(self._probe, playlist)))
            playlist = await self._follow(playlist)
        if probes is not None:
            await probes
        for task in self._later:
            task.cancel()
        if self._fetches:
            await asyncio.wait(self._fetches)
        await self._read_multivariant()

    async def _follow(self, playlist: MediaPlaylist) -> MediaPlaylist:
        """The next version, by a blocking reload; over a restart of the server if need be."""
        last = playlist.segments[-1] if playlist.segments else Segment()
        msn, part = (playlist.last_msn + 1, 0) if last.uri else (playlist.last_msn, len(last.parts))
        gone_at = None
        while True:
            try:
                if gone_at is not None:
                    # To a server that began anew this is a stranger.
                    await self._enter()
                    return await self._reload("")
                return await self._reload(f"?_HLS_msn={msn}&_HLS_part={part}")
            except (aiohttp.ClientError, TimeoutError, NotServed) as error:
                gone_at = gone_at or time.monotonic()
                if time.monotonic() - gone_at > _AWAY_S:
                    raise NotServed(str(error) or type(error).__name__) from None
                self._history.interrupt()
                self._media.interrupt()
                self._variants.interrupt()
                await asyncio.sleep(0.2)

    async def _reload(self, query: str) -> MediaPlaylist:
        fetched = await self._client.get(self._media_url + query)
        if fetched.status != 200:
            raise NotServed(f"status {fetched.status}")
        self._add(check_text(fetched, urlsplit(self._media_url).path))
        text = fetched.body.decode(errors="replace")
        playlist, failures = read_media(text)
        self._add(failures)
        if playlist is None:
            raise NotServed("no playlist")
        self.versions += 1
        self._add(check_media(playlist, text, other_playlists=self._others))
        self._add(self._history.add(playlist, fetched.at))
        self._add(self._variants.add(self._media_url, playlist, fetched.at))
        self._fetch_new(playlist)
        self._check_removed()
        return playlist

    def _fetch_new(self, playlist: MediaPlaylist) -> None:
        """Fetches what this version names for the first time, in order."""
        new: list[tuple[int, Segment, str]] = []
        self._maps = {segment.map_uri for segment in playlist.segments if segment.map_uri}
        for msn, segment in enumerate(playlist.segments, playlist.media_sequence):
            self._map_uri = segment.map_uri or self._map_uri
            if segment.is_gap or all(uri in self._seen for uri in _uris(segment)):
                continue
            new.append((msn, segment, self._map_uri))
        if new:
            _start(partial(self._fetch, new, playlist.target_duration_s), self._fetches)

    async def _fetch(self, new: list[tuple[int, Segment, str]], target_s: int) -> None:
        async with self._in_order:
            for msn, segment, map_uri in new:
                if not self._media.knows_init(map_uri):
                    self._add(self._media.add_init(map_uri, await self._body(map_uri, "an init section")))
                for part in segment.parts:
                    if part.uri not in self._seen and not part.is_gap:
                        self._seen.add(part.uri)
                        self._add(self._media.add_part(part, await self._body(part.uri, "a part"), map_uri))
                        self.parts += 1
                if segment.uri and segment.uri not in self._seen:
                    self._seen.add(segment.uri)
                    body = await self._body(segment.uri, "a segment")
                    discontinuity = self._history.records[msn].discontinuity
                    failures = self._media.add_segment(
                        msn, segment, discontinuity, body, map_uri, target_s=target_s
                    )
                    self._add(failures)
                    self.segments += 1

    async def _body(self, uri: str, what: str) -> bytes:
        """H7: everything that is listed can be fetched."""
        fetched = await self._client.get(urljoin(self._media_url, uri))
        if fetched.status != 200:
            self._add([Failure("H7", f"{what} that is listed gets status {fetched.status}")])
        return fetched.body

    def _check_removed(self) -> None:
        """H7: asks for removed segments once more, just before they may vanish."""
        for msn in list(self._history.records)[-200:]:
            until = self._history.available_until(msn)
            if until is not None and msn not in self._checked_removals:
                self._checked_removals.add(msn)
                record = self._history.records[msn]
                if not record.segment.is_gap and until - time.monotonic() > _BEFORE_DEADLINE_S:
                    at = until - _BEFORE_DEADLINE_S
                    _start(partial(self._check_available, msn, record.segment.uri, at), self._later)

    async def _check_available(self, msn: int, uri: str, at: float) -> None:
        await asyncio.sleep(at - time.monotonic())
        is_missing = not await is_there(self._client, urljoin(self._media_url, uri))
        # This may have been asked too late to tell, or the server has started anew meanwhile.
        until = self._history.available_until(msn)
        if is_missing and until is not None and time.monotonic() < until:
            self._add(
                [Failure("H7", f"segment {msn} vanished {until - time.monotonic():.2f} s before its time")]
            )

    async def _probe(self, playlist: MediaPlaylist) -> None:
        async for failure in probe(self._client, self._media_url, playlist):
            self._add([failure])

    async def _read_multivariant(self) -> None:
        fetched, variants, failures = await self._enter()
        self._add(check_text(fetched, urlsplit(self._url).path))
        self._add(failures)
        self._add(self._media.check_variants(variants[self._place :][:1], self._maps))

    async def _enter(self) -> tuple[Fetched, tuple[Variant, ...], list[Failure]]:
        """Reads the multivariant playlist, and learns where the media playlist is."""
        fetched = await self._client.get(self._url)
        if fetched.status != 200:
            raise NotServed(f"status {fetched.status}")
        variants, failures = read_multivariant(fetched.body.decode(errors="replace"))
        if len(variants) > self._place:
            self._media_url = urljoin(fetched.url, variants[self._place].uri)
            self._others = len({variant.uri for variant in variants}) - 1
        return fetched, variants, failures

    async def count(self) -> int:
        """How many variants the camera has."""
        _, variants, _ = await self._enter()
        return len(variants)

    def _add(self, failures: Iterable[Failure]) -> None:
        self.failures += failures


class NotServed(Exception):
    """There is no playlist where one should be."""


_Work = Callable[[], Awaitable[None]]


async def _unless_away(work: _Work) -> None:
    """Does it, unless the server goes away meanwhile; how long that may take is judged elsewhere."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        await work()


def _start(work: _Work, tasks: set[asyncio.Task[None]]) -> None:
    task = asyncio.create_task(_unless_away(work))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _uris(segment: Segment) -> list[str]:
    return [part.uri for part in segment.parts] + ([segment.uri] if segment.uri else [])


async def check(url: str, headers: dict[str, str], *, seconds: float, versions: int | None = None) -> Outcome:
    """Checks a camera's multivariant playlist and everything below it, all variants at the same time.

    Raises:
        aiohttp.ClientError, TimeoutError: the server is not there.
    """
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False) as session:
        client, variants = Client(session, headers), Variants()
        places = range(await Check(client, url, 0, variants).count() or 1)
        checks = [Check(client, url, place, variants) for place in places]
        runs = [asyncio.create_task(each.run(seconds=seconds, versions=versions)) for each in checks]
        try:
            await asyncio.gather(*runs)
        finally:
            for run in runs:
                run.cancel()
        return Outcome(
            sum(each.versions for each in checks),
            sum(each.segments for each in checks),
            sum(each.parts for each in checks),
            [failure for each in checks for failure in each.failures],
        )


def report(run: Outcome) -> str:
    """What was checked, one line a broken rule, and the figures."""
    lines = [f"{run.versions} playlist versions, {run.segments} segments, {run.parts} parts"]
    for rule, count in sorted(Counter(failure.rule for failure in run.failures).items()):
        texts = list(dict.fromkeys(failure.text for failure in run.failures if failure.rule == rule))
        lines.append(f"{rule}: {count} x, such as: {'; '.join(texts[:_EXAMPLES])}")
    lines.append(f"FIGURE hls_playlist_versions {run.versions}")
    lines.append(f"FIGURE hls_rule_failures {len(run.failures)}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="camrelay.tools.hlscheck", description=__doc__)
    parser.add_argument("url", help="of the multivariant playlist of a live camera")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to look (default 60)")
    parser.add_argument("--versions", type=int, help="stop after so many versions of the playlist")
    parser.add_argument("--bearer", default="", help="a grant token for the Authorization header")
    options = parser.parse_args(arguments)
    headers = {"Authorization": f"Bearer {options.bearer}"} if options.bearer else {}
    try:
        run = asyncio.run(check(options.url, headers, seconds=options.seconds, versions=options.versions))
    except (aiohttp.ClientError, TimeoutError, NotServed) as error:
        print(f"no playlist to check: {type(error).__name__}", file=sys.stderr)
        return 2
    print(report(run))
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
