"""The frame around every benchmark: options, progress, time limit, clean-up, result.

A command declares the figures it owes. Whatever ends it, each of them is printed, if only with the reason why
it could not be measured, and nothing it started is left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop

from benchmarks.child import ChildFailed
from benchmarks.pinning import Cores, pin, split
from benchmarks.result import Result
from benchmarks.table import markdown

#: What `--quick` may take altogether, and a full run unless told otherwise.
_QUICK_LIMIT_S, _FULL_LIMIT_S = 15.0, 3600.0

#: Of the time limit, kept for stopping servers and writing the result.
_CLEAN_UP_S = 2.0


class Run:
    """One run of a benchmark: its options, where it may write, what it found out."""

    def __init__(self, result: Result, options: argparse.Namespace, directory: Path) -> None:
        self.result = result
        self.options = options
        #: Gone after the run.
        self.directory = directory
        self.cores: Cores = split()
        self._began = time.monotonic()

    @property
    def is_quick(self) -> bool:
        """Whether it is to show that it can measure, rather than to measure."""
        return bool(self.options.quick)

    @property
    def elapsed_s(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Progress, for whoever waits."""
        print(f"[{self.elapsed_s:6.1f} s] {text}", file=sys.stderr, flush=True)


def execute(
    name: str,
    about: str | None,
    body: Callable[[Run], Awaitable[None]],
    owed: dict[str, str],
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    argv: list[str] | None = None,
    quick: Sequence[str] = (),
) -> int:
    """Runs a benchmark as a command.

    Args:
        about: the module's docstring, for `--help`.
        owed: figure -> unit of all that the command always names.
        quick: the options that `--quick` stands for; those given besides it win.

    Returns:
        The exit status: 0 when it ran to its end, 1 when a server failed or time ran out, 130 when
        interrupted.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=about, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="at most 15 s: shows that it measures")
    parser.add_argument("--out", type=Path, default=Path("results"), help="directory of the result file")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is random in the load")
    parser.add_argument("--time-limit", type=float, metavar="S", help="seconds for everything")
    add_options(parser)
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args([*(quick if "--quick" in arguments else ()), *arguments])
    shown = {key: value for key, value in vars(options).items() if key != "out"}
    result = Result(
        benchmark=name,
        command=shlex.join(["python", "-m", f"benchmarks.{name}", *arguments]),
        parameters={k: v if isinstance(v, int | float | bool | None) else str(v) for k, v in shown.items()},
        seed=options.seed,
    )
    for figure, unit in owed.items():
        result.figure(figure, None, unit, "the run ended before")
    with tempfile.TemporaryDirectory(prefix="camrelay-benchmark-") as directory:
        run = Run(result, options, Path(directory))
        status = uvloop.run(_supervise(run, body))
    result.seconds = round(run.elapsed_s, 1)
    path = result.write(options.out)
    for table in result.tables:
        print(f"\n{table.title}\n\n{markdown(table)}")
    print("\n" + "\n".join(result.lines()))
    print(f"\nresult: {path}", file=sys.stderr)
    return status


async def _supervise(run: Run, body: Callable[[Run], Awaitable[None]]) -> int:
    """The body under its time limit; SIGINT and SIGTERM cancel it, so that its clean-up runs."""
    limit = run.options.time_limit or (_QUICK_LIMIT_S if run.is_quick else _FULL_LIMIT_S)
    pin(run.cores.load)
    # A descriptor for every viewer, here and in the servers, which inherit the limit.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if run.cores.server == run.cores.load:
        run.say("only one core: server and load share it, and figures mean little")
    task = asyncio.ensure_future(body(run))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError, RuntimeError):  # Not the main thread: somebody else listens.
            loop.add_signal_handler(number, task.cancel)
    try:
        done, _ = await asyncio.wait([task], timeout=limit - _CLEAN_UP_S)
        if not done:
            task.cancel()
            await asyncio.wait([task])
            run.say(f"time limit of {limit:g} s reached")
            return 1
        task.result()
    except ChildFailed as error:
        run.say(str(error))
        return 1
    except asyncio.CancelledError:
        run.say("interrupted")
        return 130
    return 0
