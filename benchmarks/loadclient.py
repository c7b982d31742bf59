"""What the WHEP load client itself can take, so that it is known never to be the limit.

A synthetic sender sends SRTP-like packets of 2 Mb/s to every viewer, one UDP_SEGMENT call per access
unit, from the server's core; the load client counts on its own core, once with UDP_GRO and once without.
What the sender's kernel took and the client did not count is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys

from benchmarks.child import Child
from benchmarks.command import Run, execute
from benchmarks.result import Cell, Table
from benchmarks.sampling import usage
from benchmarks.whep.crowd import Crowd, Totals

OWED = {
    f"p1_client_{figure}_gro_{gro}": unit
    for gro in ("on", "off")
    for figure, unit in {"viewers": "viewers", "lost": "packets", "core_percent": "percent"}.items()
}

QUICK = ["--viewers", "50", "--seconds", "2"]

_START_TIMEOUT_S = 10.0

#: When the sender has ended, sockets may still hold packets; nothing new for this long, and they do not.
_LAST_PACKETS_S = 0.5


async def count(run: Run, *, gro: bool) -> list[Cell]:
    """One sender, one crowd; returns the row of the table."""
    options, label = run.options, "on" if gro else "off"
    command = [
        sys.executable, "-m", "benchmarks.whep.synthetic", "--viewers", str(options.viewers),
        "--seconds", str(options.seconds), "--bitrate", str(options.bitrate), "--seed", str(options.seed),
    ]  # fmt: skip
    sender = Child(command, run.cores.server, run.directory / f"sender-{label}")
    try:

        async def listens() -> bool:
            return "\n" in sender.output()

        async def has_ended() -> bool:
            return sender.output().endswith("}")

        await sender.until(listens, _START_TIMEOUT_S)
        async with Crowd(gro=gro, sample_every=sys.maxsize) as crowd:
            for _ in range(options.viewers):
                crowd.add().adopt(("127.0.0.1", int(sender.output())))
            before = usage(os.getpid(), alone=True)
            await sender.until(has_ended, 3 * options.seconds + _START_TIMEOUT_S)
            totals = await settled(crowd)
            after = usage(os.getpid(), alone=True)
    finally:
        await sender.stop()
    sent = json.loads(sender.output().splitlines()[-1])
    lost = sent["packets"] - totals.packets
    # Of the time the stream should take: a sender that was held up does not make the client look idle.
    busy = (after.cpu_s - before.cpu_s) / options.seconds
    run.say(f"GRO {label}: {totals.packets:,} of {sent['packets']:,} packets, {busy:.0%} of a core")
    result = run.result
    result.figure(f"p1_client_viewers_gro_{label}", totals.viewers, "viewers")
    result.figure(f"p1_client_lost_gro_{label}", lost, "packets")
    result.figure(f"p1_client_core_percent_gro_{label}", busy * 100, "percent")
    rate = totals.bytes * 8 / 1e6 / options.seconds
    sender_busy = sent["cpu_s"] / options.seconds
    return [
        f"GRO {label}", totals.viewers, sent["packets"], lost, totals.dropped, rate, busy * 100,
        sender_busy * 100, sent["late_ms"],
    ]  # fmt: skip


async def settled(crowd: Crowd) -> Totals:
    """The account once it does not change any more."""
    totals = crowd.totals()
    while True:
        await asyncio.sleep(_LAST_PACKETS_S)
        before, totals = totals, crowd.totals()
        if before.packets == totals.packets:
            return totals


async def body(run: Run) -> None:
    """With GRO and without."""
    columns = ["client", "viewers", "packets sent", "lost", "dropped by client", "Mb/s", "client core %",
               "sender core %", "sender late by ms"]  # fmt: skip
    table = Table("The load client against a synthetic sender", columns, [])
    run.result.tables.append(table)
    for gro in (True, False):
        table.rows.append(await count(run, gro=gro))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--viewers", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="per viewer, bits per second")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("loadclient", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
