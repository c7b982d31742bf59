"""How long media goes on after the right to it has ended.

LL-HLS and WHEP viewers of private cameras, half of them each, watch by grant tokens; then their right is
taken away in each way there is. For a share and a web session they watch as somebody who is signed in, for a
link by what the link opens. A session's time runs from the start of the call that takes the right (for an
expiry, from the moment the token names) to the last byte of media that arrived: for WHEP a packet, for HLS
a byte of a media response, whole or not. The load client's own lateness is in it. Tokens, keys and accounts
are withdrawn as `camrelay token revoke` does it, which the relay learns by reading a file; all else through
the API. The figures are those of the slowest way. See P8.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.percentile import percentile, spread
from benchmarks.result import Cell, Table
from benchmarks.revoke.scene import Scene
from benchmarks.revoke.ways import WAYS
from benchmarks.servers.camrelay import PrivateCamrelay
from benchmarks.whep.viewer import Viewer as Peer
from camrelay.simulate.options import Picture

OWED = {
    "p8_revocation_p50_s": "s",
    "p8_revocation_p99_s": "s",
    "p8_revocation_max_s": "s",
    "p8_sessions": "sessions",
    "p8_sessions_not_cut": "sessions",
}

QUICK = [
    "--rounds", "1", "--ways", "token,expiry", "--sessions", "4", "--join-rate", "20",
    "--settle", "0.5", "--watch", "1.5",
]  # fmt: skip

#: A session counts when it got media this shortly before it was cut, and as not cut when it still does.
_FRESH_S = 1.0


class Cut(NamedTuple):
    """One way in one round: seconds of media after the cut, by protocol; sessions that went on."""

    way: str
    after_s: dict[str, list[float]]
    not_cut: int


async def cut(run: Run, server: PrivateCamrelay, feed: Feed, way: str) -> Cut:
    """Everybody joins, is cut, and is watched for a while longer."""
    scene = Scene(run, server, feed)
    async with scene.players, scene.peers:
        parties = await WAYS[way](scene)
        await asyncio.sleep(run.options.watch)
        end = time.monotonic()
        after_s: dict[str, list[float]] = {"LL-HLS": [], "WHEP": []}
        not_cut = 0
        for party in parties:
            for watcher in party.watchers:
                if watcher.last_media_at > party.cut_at - _FRESH_S:
                    protocol = "WHEP" if isinstance(watcher, Peer) else "LL-HLS"
                    after_s[protocol].append(max(0.0, watcher.last_media_at - party.cut_at))
                    not_cut += watcher.last_media_at > end - _FRESH_S
        if scene.peers.failures:
            run.say(f"{way}: refused {dict(scene.peers.failures)}")
    seconds = [each for found in after_s.values() for each in found]
    run.say(f"{way}: {len(seconds)} sessions, the last byte after {max(seconds, default=0.0):.2f} s")
    return Cut(way, after_s, not_cut)


async def body(run: Run) -> None:
    """Every way in every round, a new relay for each round."""
    wanted = run.options.ways.split(",")
    cuts: list[Cut] = []
    picture = Picture(bitrate_bps=run.options.bitrate)
    async with Feed(run.directory, run.cores.load, cameras=2, picture=picture) as feed:
        for number in range(run.options.rounds):
            server = PrivateCamrelay(run.directory / f"round{number}", run.cores.server)
            await server.start({"cam1": feed.url()})
            run.result.servers["camrelay"] = server.settings
            try:
                for way in WAYS:
                    if way in wanted:
                        cuts.append(await cut(run, server, feed, way))
                        summarize(run, cuts)
            finally:
                await server.stop()


def summarize(run: Run, cuts: Sequence[Cut]) -> None:
    """Figures and table of what there is so far."""
    result, rows = run.result, list[list[Cell]]()
    shown: list[list[float]] = []
    for way in dict.fromkeys(each.way for each in cuts):
        mine = [each for each in cuts if each.way == way]
        about = (WAYS[way].__doc__ or "").removesuffix(".")
        for protocol in ("LL-HLS", "WHEP"):
            seconds = [s for each in mine for s in each.after_s[protocol]]
            if seconds:
                values = [percentile(seconds, 50), percentile(seconds, 99), max(seconds)]
                rows.append([about, protocol, len(seconds), *values])
                shown.append(values)
    result.tables = [
        Table(
            "Seconds from taking the right away to the last byte of media",
            ["what happens", "protocol", "sessions", "p50 s", "p99 s", "max s"],
            rows,
        )
    ]
    if not shown:
        return
    for index, name in enumerate(("p50", "p99", "max")):
        result.figure(f"p8_revocation_{name}_s", max(values[index] for values in shown), "s")
    sessions = [sum(map(len, each.after_s.values())) for each in cuts]
    result.figure("p8_sessions", spread(sessions), "sessions")
    result.figure("p8_sessions_not_cut", sum(each.not_cut for each in cuts), "sessions")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--ways", default=",".join(WAYS), help="comma-separated; all of them by default")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sessions", type=int, default=1000, help="half of them HLS, half WHEP")
    parser.add_argument("--join-rate", type=float, default=50.0, help="sessions that begin per second")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds from the last join to the cut")
    parser.add_argument("--watch", type=float, default=5.0, help="seconds watched after the cut")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of the camera, bits per second")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("revoke", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
