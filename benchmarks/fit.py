"""How cost grows with cameras, viewers and bit rate.

Reads what `cameras`, `webrtc` and `hls` found at several bit rates and fits, for camrelay,

    cost = fixed + a x number + b x Mb/s of all together

to CPU and to memory. None of the three is below zero, for nothing becomes cheaper by more of it. The point
with the most Mb/s is kept out of the fit and predicted by it: how far that is off is the error of the fit,
and what a guess beyond the measured sizes is worth. Sizes that left less than a tenth of the core idle tell
nothing: work that a full core does not do costs nothing. Fitting needs two bit rates at least, measured into
directories of their own:

    python -m benchmarks.webrtc --servers camrelay --bitrate 1000000 --out results/1M
    python -m benchmarks.webrtc --servers camrelay --bitrate 4000000 --out results/4M
    python -m benchmarks.fit --results results/1M results/4M --write src/camrelay/capacity.json

The file that is written is what `camrelay plan` calculates with.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy
from numpy.typing import NDArray

from benchmarks.command import Run, execute
from benchmarks.result import Cell, Curve, Plot, Result, Table, read, rounded
from camrelay.capacity import Capacity, Cost, Costs

#: Benchmark -> what it counts.
COUNTED = {"cameras": "cameras", "webrtc": "viewers", "hls": "viewers"}

#: Cost -> the column it stands in.
COSTS = {"core_percent": "core %", "memory_mb": "RSS MB"}

OWED = {
    f"fit_{benchmark}_{cost}_{part}": "percent" if part == "error" or cost == "core_percent" else "MB"
    for benchmark in COUNTED
    for cost in COSTS
    for part in ("fixed", "each", "per_mbps", "error")
}

Floats = NDArray[numpy.float64]

_STEPS = "Every size of the first round"

#: Of a core, percent.
_FULL = 90.0


class Point(NamedTuple):
    """One size at one bit rate, and what it cost."""

    number: int
    #: Of one camera or viewer, nominal.
    bitrate_mbps: float
    cost: float

    @property
    def mbps(self) -> float:
        """Of all together."""
        return self.number * self.bitrate_mbps


class Fit(NamedTuple):
    """What a thing costs; `error` is that of the predicted point, as a share of what was measured there."""

    fixed: float
    each: float
    per_mbps: float
    error: float

    def at(self, number: float, mbps: float) -> float:
        """The cost of so many, with so many Mb/s of all together."""
        return self.fixed + self.each * number + self.per_mbps * mbps


def points(results: Sequence[Result], benchmark: str, column: str) -> list[Point]:
    """What a benchmark measured of camrelay on a core that was not full."""
    found = []
    for result in results:
        bitrate_mbps = float(result.parameters.get("bitrate") or 0) / 1e6
        for table in result.tables:
            if result.benchmark == benchmark and table.title == _STEPS:
                number, cost = table.columns.index(COUNTED[benchmark]), table.columns.index(column)
                busy = table.columns.index(COSTS["core_percent"])
                mine = [row for row in table.rows if row[0] == "camrelay" and row[cost]]
                rows = [row for row in mine if float(row[busy] or 0) < _FULL]
                found += [Point(int(row[number] or 0), bitrate_mbps, float(row[cost] or 0)) for row in rows]
    return found


def fit(found: Sequence[Point]) -> Fit | None:
    """Least squares over all points but the one with the most Mb/s; None when they do not determine it."""
    if not found:
        return None
    kept_out = max(found, key=lambda point: point.mbps)
    rest = [point for point in found if point is not kept_out]
    matrix = numpy.array([[1.0, point.number, point.mbps] for point in rest]).reshape(-1, 3)
    costs = numpy.array([point.cost for point in rest])
    if numpy.linalg.matrix_rank(matrix, rtol=1e-9) < matrix.shape[1]:
        return None
    fixed, each, per_mbps = _not_negative(matrix, costs)
    made = Fit(fixed, each, per_mbps, 0.0)
    return made._replace(error=abs(made.at(kept_out.number, kept_out.mbps) - kept_out.cost) / kept_out.cost)


def _not_negative(matrix: Floats, costs: Floats) -> list[float]:
    """The least squares of all solutions without a negative number: of so few columns, all sets are tried."""
    best, least = [0.0] * matrix.shape[1], math.inf
    for size in range(1, matrix.shape[1] + 1):
        for columns in itertools.combinations(range(matrix.shape[1]), size):
            some = matrix[:, columns]
            solution = numpy.linalg.lstsq(some, costs, rcond=None)[0]
            squares = float(numpy.sum((some @ solution - costs) ** 2))
            if min(solution) >= 0 and squares < least:
                best, least = [0.0] * matrix.shape[1], squares
                for column, value in zip(columns, solution, strict=True):
                    best[column] = float(value)
    return best


def plot(benchmark: str, cost: str, found: Sequence[Point], made: Fit) -> Plot:
    """Measured and fitted, a pair of curves for each bit rate."""
    curves = []
    for bitrate in sorted({point.bitrate_mbps for point in found}):
        mine = sorted(point for point in found if point.bitrate_mbps == bitrate)
        numbers = [float(point.number) for point in mine]
        curves.append(Curve(f"{bitrate:g} Mb/s", numbers, [point.cost for point in mine]))
        fitted = [made.at(point.number, point.mbps) for point in mine]
        curves.append(Curve(f"{bitrate:g} Mb/s, fitted", numbers, fitted))
    counted = COUNTED[benchmark]
    return Plot(f"fit_{benchmark}_{cost}", f"{benchmark}: {COSTS[cost]}", counted, COSTS[cost], curves)


async def body(run: Run) -> None:
    """Every benchmark, every cost."""
    paths = [path for directory in run.options.results for path in sorted(directory.glob("*.json"))]
    results = [result for path in paths if (result := read(path)).benchmark in COUNTED]
    rows: list[list[Cell]] = []
    fitted: dict[str, dict[str, Cost]] = {}
    for benchmark, counted in COUNTED.items():
        for cost, column in COSTS.items():
            found = points(results, benchmark, column)
            made = fit(found)
            if made is None:
                run.result.give_up(benchmark, "too few sizes or bit rates were measured")
                continue
            name, unit = f"fit_{benchmark}_{cost}", OWED[f"fit_{benchmark}_{cost}_each"]
            largest = max(point.number for point in found)
            fixed, each, per_mbps, error = map(rounded, made)
            fitted.setdefault(benchmark, {})[cost] = Cost(fixed, each, per_mbps, error, largest)
            run.result.figure(f"{name}_fixed", made.fixed, unit)
            run.result.figure(f"{name}_each", made.each, unit)
            run.result.figure(f"{name}_per_mbps", made.per_mbps, unit)
            run.result.figure(f"{name}_error", made.error * 100, "percent")
            rows.append([f"{counted} ({benchmark})", column, len(found), *made[:3], made.error * 100])
            run.result.plots.append(plot(benchmark, cost, found, made))
    columns = ["what", "cost", "points", "fixed", "each", "per Mb/s", "error, %"]
    run.result.tables.append(Table("Cost = fixed + each x number + per Mb/s x Mb/s", columns, rows))
    if run.options.write:
        whole = {name: Costs(**costs) for name, costs in fitted.items() if len(costs) == len(COSTS)}
        run.options.write.write_bytes(capacity(run.result, whole))


def capacity(result: Result, costs: dict[str, Costs]) -> bytes:
    """What `camrelay plan` reads."""
    machine = f"one core of {result.machine['processor']}, Python {result.versions['python']}"
    made = Capacity(machine, result.started[:10], costs)
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument(
        "--results", type=Path, nargs="+", default=[Path("results")], help="directories of result files"
    )
    parser.add_argument("--write", type=Path, help="a file for `camrelay plan --figures`")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("fit", __doc__, body, OWED, add_options, argv)


if __name__ == "__main__":
    sys.exit(main())
