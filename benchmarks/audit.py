"""Whether the access record keeps what it acknowledged, how fast it is, and what it costs viewers.

In parts, each of which can be run alone:

writing   starts, and pairs of a start and its stop, appended as fast as they are taken, until the last is
          on disk (fsync), signed and linked. `audit_emit_us` is the mean of all calls that append.
crashes   programs that write the record are killed (SIGKILL) at random moments; what they were told is
          durable must be there, once, whole, with the person beside it, in a log that verifies.
verify    a log of many events is checked against its checkpoints, counted in time of one core; then it is
          edited, cut, reordered and so on, with and without its stolen key, and must be caught each time, at
          the place: the line, or where leaf hashes were made anew, the lines between two checkpoints.
cost      WHEP viewers at a relay whose record is turned off and on again every second, in an order that
          changes, while others come and are recorded. Throughput is what a core sends; a round adds up the
          turns of each side, the figures are medians of rounds, and the two of noise are half the rounds'
          range over the root of their number: a smaller difference than that says nothing.
          `p10_own_cpu_percent` is the part of the relay's CPU that its thread and its calls take, and
          `p10_delivered_delta_percent` how many packets fewer the viewers get, who all stay. Then the
          record's store is stopped: new viewings must be refused and running ones lose nothing. See P10.

Quiet, all of it takes about eleven minutes: one and a half to write, one for crashes, three to verify and
five for the cost. `--parts crashes` and the like run one of them. With CAMRELAY_PEOPLE_URL in the
environment, writing and crashes have people in that PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable

import msgspec

from benchmarks.child import ChildFailed
from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.percentile import spread
from benchmarks.record import cost, crashes, tampering
from benchmarks.record.options import PEOPLE_URL
from benchmarks.record.writing import Written
from benchmarks.result import Cell, Table
from camrelay.simulate.options import Picture

#: By part.
FIGURES = {
    "writing": {
        "audit_events_per_s": "events/s",
        "audit_pairs_events_per_s": "events/s",
        "audit_emit_us": "us",
    },
    "crashes": {
        "audit_crashes": "crashes",
        "audit_records_acknowledged": "records",
        "audit_records_lost": "records",
        "audit_records_duplicated": "records",
        "audit_records_torn": "records",
    },
    "verify": {
        "audit_verify_per_s": "events/s",
        "audit_tampering_attempts": "attempts",
        "audit_tampering_missed": "attempts",
    },
    "cost": {
        "p10_turns_kept": "turns",
        "p10_throughput_delta_percent": "%",
        "p10_p99_delta_percent": "%",
        "p10_noise_percent": "%",
        "p10_own_cpu_percent": "%",
        "p10_delivered_delta_percent": "%",
        "audit_cpu_us_per_event": "us",
        "p10_p99_noise_percent": "%",
        "audit_refused_after_s": "s",
        "audit_packets_lost_while_stopped": "packets",
    },
}

OWED = {name: unit for figures in FIGURES.values() for name, unit in figures.items()}

QUICK = [
    "--events", "3000", "--rounds", "1", "--crashes", "1", "--log-events", "4000",
    "--viewers", "4", "--cost-rounds", "1", "--turns", "1", "--settle", "0.3", "--seconds", "0.5",
    "--sample-every", "2",
]  # fmt: skip

#: What the record may cost.
_P10_LIMIT_PERCENT = 1.0

#: What a program that writes may take besides writing.
_WRITING_LIMIT_S = 120.0


async def writing(run: Run) -> None:
    """How fast."""
    options, rates, emits = run.options, dict[str, list[float]](), list[float]()
    for number in range(options.rounds):
        for kind in ("starts", "pairs"):
            directory = run.directory / f"writing-{kind}-{number}"
            written = await _written(directory, options.events, kind)
            if written.failed:
                run.say(f"{kind}: {written.failed} events were refused")
            rates.setdefault(kind, []).append(written.events_per_s)
            emits.append(written.emit_us)
            run.say(f"{kind}: {written.events_per_s:,.0f} events/s, {written.emit_us:.1f} us to append one")
    run.result.figure("audit_events_per_s", spread(rates["starts"]), "events/s")
    run.result.figure("audit_pairs_events_per_s", spread(rates["pairs"]), "events/s")
    run.result.figure("audit_emit_us", spread(emits), "us")


async def _written(directory: os.PathLike[str], events: int, kind: str) -> Written:
    command = [sys.executable, "-m", "benchmarks.record.writing", os.fspath(directory), str(events), kind]
    program = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        output, _ = await asyncio.wait_for(program.communicate(), _WRITING_LIMIT_S)
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    if program.returncode:
        raise ChildFailed(f"the program that writes ended with {program.returncode}")
    return msgspec.json.decode(output, type=Written)


async def crash(run: Run) -> None:
    """What is left after being killed; one log on each core at a time."""
    account, left = crashes.Account(), run.options.crashes
    logs = [crashes.LIVES_PER_LOG] * (left // crashes.LIVES_PER_LOG)
    logs += [left % crashes.LIVES_PER_LOG] * (left % crashes.LIVES_PER_LOG > 0)
    queue = list(enumerate(logs))

    def tell() -> None:
        run.result.figure("audit_crashes", account.lives, "crashes")
        run.result.figure("audit_records_acknowledged", account.acknowledged, "records")
        run.result.figure("audit_records_lost", account.lost, "records")
        run.result.figure("audit_records_duplicated", account.duplicated, "records")
        run.result.figure("audit_records_torn", account.torn, "records")

    async def work(core: int) -> None:
        while queue:
            number, lives = queue.pop(0)
            seed = run.options.seed * 1000 + number
            await crashes.live(run.directory / f"crashes-{number}", core, lives, seed, account)
            run.say(f"{account.lives} crashes, {account.acknowledged:,} records, {account.lost} lost")
            tell()

    await asyncio.gather(*map(work, {run.cores.server, run.cores.load}))


async def verify(run: Run) -> None:
    """How fast, and what is found."""
    directory, count = run.directory / "verify", run.options.log_events
    await asyncio.to_thread(tampering.write, directory, count)
    run.say(f"{count:,} events are written")
    rates = []
    for _ in range(3):
        began = time.thread_time()
        found = tampering.check(directory, [])
        rates.append(found.lines / (time.thread_time() - began))
    run.result.figure("audit_verify_per_s", spread(rates), "events/s")
    run.say(f"{rates[-1]:,.0f} events/s verified")
    tried = []
    for attempt in tampering.attempts(directory, count // tampering.DAYS // 2 + 3):
        tried.append(attempt)
        run.say(f"{attempt.what}: {attempt.said or 'nothing was found'}")
        # Each takes seconds; a time limit must be able to end this.
        await asyncio.sleep(0)
    rows: list[list[Cell]] = [[each.what, str(each.has_key), each.place, each.said] for each in tried]
    run.result.tables.append(
        Table(
            f"A log of {count:,} events, changed behind its back",
            ["how", "key stolen", "where", "said"],
            rows,
        )
    )
    run.result.figure("audit_tampering_attempts", len(tried), "attempts")
    run.result.figure("audit_tampering_missed", sum(not each.is_named for each in tried), "attempts")


async def price(run: Run) -> None:
    """What viewers pay, and what they lose when the record cannot be written."""
    picture = Picture(bitrate_bps=run.options.bitrate)
    async with Feed(run.directory, run.cores.load, picture=picture) as feed:
        rounds, stopped = await cost.compare(run, feed)
    result = run.result
    kept = cost.undisturbed(rounds)
    result.figure("p10_turns_kept", sum(each.on.turns for each in kept), "turns")
    if kept:
        throughput, p99 = cost.deltas(kept)
        noise = cost.noise(throughput, len(kept))
        result.figure("p10_throughput_delta_percent", throughput, "%")
        result.figure("p10_p99_delta_percent", p99, "%")
        result.figure("p10_noise_percent", noise, "%")
        result.figure("p10_p99_noise_percent", cost.noise(p99, len(kept)), "%")
        result.figure("p10_delivered_delta_percent", cost.delivered_delta(kept), "%")
        if noise > _P10_LIMIT_PERCENT:
            run.say(f"noise of {noise:.1f} % is more than the {_P10_LIMIT_PERCENT:g} % that are looked for")
    else:
        result.give_up("p10", "the machine disturbed every turn")
    result.figure("p10_own_cpu_percent", cost.own_share(rounds), "%")
    result.figure("audit_cpu_us_per_event", cost.us_per_event(rounds), "us", "nobody came")
    run.say(f"store stopped: answers {dict(stopped.answers)}, {stopped.packets} packets went on")
    waited = max(stopped.refused_after_s, default=None)
    run.result.figure("audit_refused_after_s", waited, "s", "nobody was refused")
    run.result.figure("audit_packets_lost_while_stopped", stopped.lost, "packets")
    result.tables.append(cost.table(kept))


PARTS: dict[str, Callable[[Run], Awaitable[None]]] = {
    "writing": writing,
    "crashes": crash,
    "verify": verify,
    "cost": price,
}


async def body(run: Run) -> None:
    """The parts that are wanted; a run of some of them has a result file of its own."""
    wanted = run.options.parts.split(",")
    if len(wanted) < len(PARTS):
        run.result.benchmark = "-".join(["audit", *wanted])
    if PEOPLE_URL:
        run.result.benchmark += "-postgresql"
    for name in PARTS.keys() - wanted:
        for figure in FIGURES[name]:
            del run.result.figures[figure]
    for name in wanted:
        await PARTS[name](run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated; all of them by default")
    parser.add_argument("--events", type=int, default=200_000, help="appended in each round of writing")
    parser.add_argument("--rounds", type=int, default=3, help="of writing")
    parser.add_argument("--crashes", type=int, default=200, help="programs that are killed")
    parser.add_argument("--log-events", type=int, default=1_000_000, help="in the log that is verified")
    parser.add_argument("--viewers", type=int, default=500, help="that watch while the record is on or off")
    parser.add_argument("--cost-rounds", type=int, default=12, help="of on and off")
    parser.add_argument("--turns", type=int, default=10, help="of on and of off in each of those rounds")
    parser.add_argument("--join-rate", type=float, default=100.0, help="viewers that join per second")
    parser.add_argument("--settle", type=float, default=2.0, help="seconds from the last join to measuring")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    parser.add_argument("--visits", type=float, default=10.0, help="recorded per second meanwhile")
    parser.add_argument("--sample-every", type=int, default=25, help="each n-th viewer is decrypted")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of the camera, bits per second")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("audit", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
