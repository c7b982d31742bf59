"""Whether every version of every playlist keeps every rule, while everything goes wrong.

Cameras that lie are read by one relay, each followed by the conformance client: it records every version of
the playlist, every part and segment, and applies the rules of docs/hls.md over time. Meanwhile each camera
reboots, falls silent, changes its picture size and its clock, in a random order; and the relay's process is
killed every now and then and starts again. Nothing of that is an excuse for a playlist that breaks a rule.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import aiohttp

from benchmarks.child import Child, accepts
from benchmarks.command import Run, execute
from benchmarks.faults import lies, outages
from benchmarks.faults.fault import PLAIN, Fault, Scene
from benchmarks.faults.liar import Liar, unchanged
from benchmarks.feed import Feed
from benchmarks.result import Cell, Table
from benchmarks.servers.camrelay import Camrelay
from camrelay.simulate.options import Picture
from camrelay.tools.hlscheck import NotServed, check
from camrelay.tools.hlsrules import Failure

OWED = {
    "hls_playlist_versions": "versions",
    "hls_segments": "segments",
    "hls_parts": "parts",
    "hls_rule_failures": "failures",
    "hls_faults": "faults",
    "hls_restarts": "restarts",
}

#: One for each camera, over and over: short and long GOPs, and B-frames.
PICTURES: tuple[Picture, ...] = (PLAIN, PLAIN, lies.LongGop.picture, lies.BFrames.picture)
#: What a camera shows when it changes its picture size.
OTHER = Picture(width=320, height=180, bitrate_bps=800_000, gop_pictures=25)

FAULTS: tuple[type[Fault], ...] = (
    outages.Reboot, outages.HalfOpen, outages.MediaSilence, lies.TimestampsAhead, lies.TimestampsBack,
    lies.TimestampsWrap, lies.Resolution, lies.Loss, lies.Corruption,
)  # fmt: skip

QUICK = [
    "--cameras", "2", "--versions", "30", "--seconds", "6", "--fault-every", "1", "--restart-every", "100",
]  # fmt: skip

#: A relay that takes longer to start than this has failed.
_START_S = 60.0
#: A rule of its own: whoever cannot be followed at all is not checked.
_NOT_SERVED = "served"


class Mortal(Camrelay):
    """Can be killed, and comes back as what it was, at the same address."""

    _command: Sequence[str] = ()

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        self._command = self._command or super().configure(cameras)
        return list(self._command)

    async def die(self) -> None:
        """Is killed, and started again; that cameras are live again is not waited for.

        Raises:
            ChildFailed: it did not start.
        """
        os.kill(self.pid, signal.SIGKILL)
        await self.stop()
        self._child = Child(list(self._command), self.core, self.directory / "log", cwd=self.directory)
        await self._child.until(lambda: accepts(self._http), _START_S)


class Totals:
    """What all checks saw."""

    def __init__(self) -> None:
        self.versions = self.segments = self.parts = 0
        self.faults: Counter[str] = Counter()
        self.restarts = 0
        self.failures: list[tuple[str, Failure]] = []


async def follow(run: Run, server: Mortal, camera: str, totals: Totals) -> None:
    """One camera's playlist from the first version to the last."""
    options = run.options
    versions = -(-options.versions // options.cameras)
    try:
        found = await check(server.hls(camera), {}, seconds=options.seconds, versions=versions)
    except (NotServed, aiohttp.ClientError, TimeoutError) as error:
        totals.failures.append((camera, Failure(_NOT_SERVED, str(error) or type(error).__name__)))
        return
    totals.versions += found.versions
    totals.segments += found.segments
    totals.parts += found.parts
    totals.failures += [(camera, failure) for failure in found.failures]
    run.say(f"{camera}: {found.versions} versions, {len(found.failures)} failures")
    for failure in found.failures[:5]:
        run.say(f"{camera}: {failure.rule} {failure.text}")


async def trouble(run: Run, server: Mortal, liar: Liar, other: str, seed: int, totals: Totals) -> None:
    """Faults of one camera, one after the other, until cancelled."""
    dice = random.Random(seed)
    while True:
        await asyncio.sleep(run.options.fault_every * dice.uniform(0.5, 1.5))
        fault = dice.choice(FAULTS)()
        totals.faults[type(fault).__name__] += 1
        await fault.strike(liar, Scene(other))
        if liar.other:
            # Its own pictures again, in a new session.
            await asyncio.sleep(run.options.fault_every * dice.uniform(0.5, 1.5))
            liar.other = ""
            liar.reset(refuse=False)
        liar.packets = unchanged


async def restarts(run: Run, server: Mortal, liars: Sequence[Liar], totals: Totals) -> None:
    """The end of the process, now and then, until cancelled."""
    while True:
        await asyncio.sleep(run.options.restart_every)
        run.say("the relay is killed")
        totals.restarts += 1
        # A camera that shows another one's pictures does so in a session that stands: there is none now.
        for liar in liars:
            liar.other = ""
        await server.die()


async def body(run: Run) -> None:
    """Everything at once, until every camera's versions have been seen."""
    options = run.options
    totals = Totals()
    async with contextlib.AsyncExitStack() as stack:
        pictures = [PICTURES[index % len(PICTURES)] for index in range(options.cameras)]
        feeds = {
            picture: await stack.enter_async_context(
                Feed(run.directory, run.cores.load, cameras=options.cameras, picture=picture)
            )
            for picture in {*pictures, OTHER}
        }
        liars = [
            await stack.enter_async_context(Liar(feeds[picture].url(index + 1)))
            for index, picture in enumerate(pictures)
        ]
        cameras = {f"cam{index + 1}": liar.url for index, liar in enumerate(liars)}
        server = Mortal(run.directory, run.cores.server)
        await server.start(cameras)
        stack.push_async_callback(server.stop)
        run.result.servers["camrelay"] = server.settings
        others = [feeds[OTHER].url(index + 1) for index in range(options.cameras)]
        troubles = [
            asyncio.create_task(trouble(run, server, liar, other, options.seed * 1000 + index, totals))
            for index, (liar, other) in enumerate(zip(liars, others, strict=True))
        ]
        troubles.append(asyncio.create_task(restarts(run, server, liars, totals)))
        try:
            await asyncio.gather(*(follow(run, server, camera, totals) for camera in cameras))
        finally:
            for task in troubles:
                task.cancel()
            ended = await asyncio.gather(*troubles, return_exceptions=True)
            summarize(run, totals)
        for error in ended:
            if not isinstance(error, asyncio.CancelledError):
                raise error if isinstance(error, BaseException) else RuntimeError("trouble ended")


def summarize(run: Run, totals: Totals) -> None:
    """Puts what was seen so far into the result."""
    result = run.result
    result.figure("hls_playlist_versions", totals.versions, "versions")
    result.figure("hls_segments", totals.segments, "segments")
    result.figure("hls_parts", totals.parts, "parts")
    result.figure("hls_rule_failures", len(totals.failures), "failures")
    result.figure("hls_faults", sum(totals.faults.values()), "faults")
    result.figure("hls_restarts", totals.restarts, "restarts")
    rows: list[list[Cell]] = [[name, count] for name, count in sorted(totals.faults.items())]
    result.tables.append(Table("What cameras did", ["fault", "times"], rows))
    if totals.failures:
        broken = Counter((failure.rule, camera) for camera, failure in totals.failures)
        examples = {(failure.rule, camera): failure.text for camera, failure in reversed(totals.failures)}
        result.tables.append(
            Table(
                "Broken rules",
                ["rule", "camera", "times", "such as"],
                [[*key, count, examples[key]] for key, count in sorted(broken.items())],
            )
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--cameras", type=int, default=10)
    parser.add_argument("--versions", type=int, default=10_000, help="of all playlists together")
    parser.add_argument("--seconds", type=float, default=900.0, help="at most, whatever was seen by then")
    parser.add_argument("--fault-every", type=float, default=12.0, help="seconds between a camera's faults")
    parser.add_argument("--restart-every", type=float, default=75.0, help="seconds between restarts")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("hlsrules", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
