"""How many WebRTC viewers one core serves.

WHEP viewers of one camera rise in number until a limit breaks: the server's core busier than 80 %,
a packet lost that the load client did not lose itself, p99 of the delay from camera to viewer over
40 ms (one access unit), a viewer refused, a picture that does not decode. Each server gets the same camera,
the same core and the same viewers, in alternating order. The figure is the largest size at which all limits
held, the median of the rounds.

Delays are told from a clock that the camera writes into each seventh picture, so key frames have their share:
cameras that people buy write none, and it is a small packet of its own, a sixth of the work of sending.

With GRO the load client takes a run of packets in one piece, which on loopback also spares the
sender's kernel the cutting; camrelay is measured with, without, or both. See P1, P5, P6 and P9.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
from collections.abc import Sequence

from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.ladder import climb, rounds
from benchmarks.servers.registry import SERVERS, installed
from benchmarks.whep.crowd import Crowd
from benchmarks.whep.step import Step, measure
from benchmarks.whep.summary import GRO_OFF, OWED, summarize
from camrelay.simulate.options import Picture

QUICK = [
    "--servers", "camrelay,mediamtx", "--gro", "on", "--rounds", "1", "--start", "4", "--most", "4",
    "--seconds", "1.5", "--settle", "0.3", "--sample-every", "2",
]  # fmt: skip


async def ladder(run: Run, label: str, feed: Feed) -> list[Step]:
    """One server from start to stop."""
    options = run.options
    name = label.removesuffix(GRO_OFF)
    server = SERVERS[name](run.directory, run.cores.server)
    await server.start({"cam1": feed.url()})
    run.result.servers[name] = server.settings
    try:
        address, every = server.viewer_address, options.sample_every
        async with Crowd(gro=name == label, sample_every=every, address=address) as crowd:

            async def at(size: int) -> Step:
                count, failed = size - len(crowd.viewers), crowd.failures.total()
                joined = await crowd.join(server.whep("cam1"), count, per_second=options.join_rate)
                await asyncio.sleep(options.settle)
                refused = crowd.failures.total() - failed
                if refused:
                    run.say(f"{label}: refused so far {dict(crowd.failures)}")
                return await measure(
                    server,
                    crowd,
                    joined=joined,
                    refused=refused,
                    seconds=options.seconds,
                    delay_limit_s=options.delay_limit / 1000,
                )

            return await climb(run, label, at, options.start, options.most)
    finally:
        await server.stop()


async def body(run: Run) -> None:
    """All servers, all rounds."""
    options = run.options
    labels = installed(run, options.servers.split(","))
    if labels[:1] == ["camrelay"] and options.gro != "on":
        labels.insert(1, "camrelay" + GRO_OFF)
        labels = labels[options.gro == "off" :]
    picture = Picture(bitrate_bps=options.bitrate, gop_pictures=round(options.gop * 25))
    ladders: dict[str, list[Sequence[Step]]] = {}
    try:
        every = options.clock_every
        async with Feed(run.directory, run.cores.load, picture=picture, clock_every=every) as feed:
            contestants = {label: functools.partial(ladder, run, label, feed) for label in labels}
            await rounds(run, contestants, options.rounds, ladders)
    finally:
        summarize(run.result, ladders)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument(
        "--servers", default="camrelay,mediamtx,aiortc", help="which of " + ", ".join(SERVERS)
    )
    parser.add_argument(
        "--gro", choices=("both", "on", "off"), default="both", help="how camrelay is measured"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--start", type=int, default=25, help="viewers to begin with")
    parser.add_argument("--most", type=int, default=4000, help="viewers to end with")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured at each size")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds from the last join to measuring")
    parser.add_argument("--join-rate", type=float, default=50.0, help="viewers that join per second")
    parser.add_argument("--sample-every", type=int, default=50, help="each n-th viewer is decrypted")
    parser.add_argument("--delay-limit", type=float, default=40.0, help="p99 from camera to viewer, ms")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of the camera, bits per second")
    parser.add_argument("--gop", type=float, default=2.0, help="of the camera, seconds")
    parser.add_argument(
        "--clock-every", type=int, default=7, help="which pictures of the camera have the SEI of its clock"
    )


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("webrtc", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
