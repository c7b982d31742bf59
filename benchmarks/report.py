"""Turns result files into one page: docs/benchmarks.md, with its plots beside it."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.plot import draw
from benchmarks.result import Cell, Figure, Result, Table, read
from benchmarks.table import markdown, text
from benchmarks.targets import TARGETS, Target

_OPENING = """\
# Benchmarks

Figures of one machine, made by the commands that stand with them. Absolute figures move from machine to
machine; ratios do not as much, because both sides are measured in one run: same camera, same core, same
clients, alternating order, several rounds, medians with their range. Everything runs on the loopback
interface. `python -m benchmarks.<name> --help` says what each command does and when its limits break.

This page is written by `python -m benchmarks.report`.
"""

_REPEATED = """\
The same commands, started anew. Spread is from the lowest to the highest, of the median. Where it is over
10 %, the machine moved it: the host of a virtual one takes its cores away for moments (steal in /proc/stat),
and every delay and every rate has that in it. Commands that take minutes were run once for this page.
"""


#: What the rounds' medians of several runs may differ by, percent.
_REPEATABLE = 10.0


def page(results: Sequence[Result], plots: str, again: Sequence[Result] = ()) -> str:
    """The whole page.

    Args:
        plots: where the plots are, as seen from the page.
        again: of the same commands, run again.
    """
    figures = {name: figure for result in results for name, figure in result.figures.items()}
    blocks = [_OPENING, "## Targets", markdown(_targets(figures))]
    if again:
        blocks += ["## Run again", _REPEATED, markdown(_repeated(results, again))]
    for result in results:
        blocks += _section(result, plots)
    return "\n\n".join(block.strip() for block in blocks) + "\n"


def _targets(figures: dict[str, Figure]) -> Table:
    rows: list[list[Cell]] = []
    for target in TARGETS:
        figure = figures.get(target.figure)
        value = _value(figure) if figure else ""
        rows.append([target.number, target.what, _bound(target), value, target.verdict(figures)])
    return Table("", ["", "what", "target", "measured", "so"], rows)


def _repeated(results: Sequence[Result], again: Sequence[Result]) -> Table:
    """The targets' figures in every run that brought one."""
    rows: list[list[Cell]] = []
    for target in TARGETS:
        runs = [result.figures.get(target.figure) for result in (*results, *again)]
        values = [figure.value for figure in runs if figure and figure.value is not None]
        if len(values) > 1:
            median = statistics.median(values)
            spread = 100 * (max(values) - min(values)) / median if median else 0.0
            found = ", ".join(map(text, values))
            rows.append([f"`{target.figure}`", found, spread, "yes" if spread <= _REPEATABLE else "no"])
    return Table("", ["figure", "runs", "spread, %", f"within {_REPEATABLE:g} %"], rows)


def _bound(target: Target) -> str:
    return f"≥ {target.at_least:g}" if target.at_least > float("-inf") else f"≤ {target.at_most:g}"


def _value(figure: Figure) -> str:
    """The figure with its range."""
    if figure.value is None:
        return ""
    value = f"{text(figure.value)} {figure.unit}"
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return value
    return f"{value} ({text(figure.low)} to {text(figure.high)})"


def _section(result: Result, plots: str) -> list[str]:
    facts = ", ".join(
        (
            f"{result.machine['processor']}, {result.machine['cores']} cores",
            f"kernel {result.machine['kernel']}",
            *(f"{name} {version}" for name, version in result.versions.items()),
        )
    )
    blocks = [
        f"## {result.benchmark}",
        f"`{result.command}`",
        f"{result.started}, {result.seconds:.0f} s, seed {result.seed}, "
        f"load average before {result.load_average:.2f}. {facts}.",
    ]
    if result.servers:
        rows: list[list[Cell]] = [
            [
                name,
                settings.get("version", ""),
                _settings(settings),
            ]
            for name, settings in result.servers.items()
        ]
        blocks.append(markdown(Table("", ["server", "version", "settings"], rows)))
    measured: list[list[Cell]] = [
        [f"`{name}`", _value(figure) or f"none: {figure.reason}"] for name, figure in result.figures.items()
    ]
    blocks.append(markdown(Table("", ["figure", "value"], measured)))
    for table in result.tables:
        blocks += [f"### {table.title}", markdown(table)]
    blocks += [f"![{plot.title}]({plots}/{plot.name}.svg)" for plot in result.plots]
    return blocks


def _settings(settings: dict[str, str]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in settings.items() if name != "version")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="directory of result files")
    parser.add_argument(
        "--again", type=Path, nargs="+", default=[], help="directories of the same commands' other runs"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"))
    options = parser.parse_args(argv)
    paths = sorted(options.results.glob("*.json"))
    if not paths:
        print(f"no result files in {options.results}", file=sys.stderr)
        return 1
    results = [read(path) for path in paths]
    again = [read(path) for directory in options.again for path in sorted(directory.glob("*.json"))]
    pictures = options.out.with_suffix("")
    for result in results:
        for plot in result.plots:
            draw(plot, pictures / f"{plot.name}.svg")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(page(results, pictures.name, again))
    return 0


if __name__ == "__main__":
    sys.exit(main())
