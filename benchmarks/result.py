"""The result of one run: figures, tables and curves, as lines on the terminal and as one JSON file."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from pathlib import Path

import msgspec

from benchmarks.machine import load_average, machine, versions
from benchmarks.percentile import Spread

#: What other programs look for: they never change their form.
_NAME = re.compile(r"[a-z][a-z0-9_]*")

Cell = str | int | float | None


class Figure(msgspec.Struct, omit_defaults=True):
    """One number, or the reason why there is none."""

    value: float | None
    unit: str = ""
    reason: str = ""
    #: Lowest and highest of the rounds.
    low: float | None = None
    high: float | None = None


class Table(msgspec.Struct):
    """Rows to be read."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]


class Curve(msgspec.Struct):
    """Points of one line of a plot."""

    label: str
    x: list[float]
    y: list[float]


class Plot(msgspec.Struct):
    """Curves over one axis; `limit` is drawn as a horizontal line."""

    name: str
    title: str
    x_label: str
    y_label: str
    curves: list[Curve]
    limit: float | None = None


class Result(msgspec.Struct):
    """Everything a run found out."""

    benchmark: str
    command: str
    parameters: dict[str, str | int | float | bool | None]
    seed: int
    started: str = msgspec.field(default_factory=lambda: _now())
    seconds: float = 0.0
    load_average: float = msgspec.field(default_factory=load_average)
    machine: dict[str, str | int] = msgspec.field(default_factory=machine)
    versions: dict[str, str] = msgspec.field(default_factory=versions)
    #: Server -> what it was told, and its version.
    servers: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    figures: dict[str, Figure] = msgspec.field(default_factory=dict)
    tables: list[Table] = msgspec.field(default_factory=list)
    plots: list[Plot] = msgspec.field(default_factory=list)

    def figure(
        self, name: str, value: float | Spread | None, unit: str, reason: str = "not measured"
    ) -> None:
        """Notes a figure; None says why there is none."""
        assert _NAME.fullmatch(name), name
        assert " " not in unit, unit
        if value is None:
            self.figures[name] = Figure(None, unit, reason)
        elif isinstance(value, Spread):
            low, high = rounded(value.low), rounded(value.high)
            self.figures[name] = Figure(rounded(value.median), unit, low=low, high=high)
        else:
            self.figures[name] = Figure(rounded(value), unit)

    def give_up(self, word: str, reason: str) -> None:
        """Says why there will be none of the figures that have a word, such as a server, in their name."""
        for name, figure in self.figures.items():
            if figure.value is None and word in name.split("_"):
                figure.reason = reason

    def lines(self) -> list[str]:
        """`FIGURE name value unit`, or `FIGURE name none reason`, one per figure."""
        return [
            f"FIGURE {name} none {figure.reason}"
            if figure.value is None
            else f"FIGURE {name} {_plain(figure.value)} {figure.unit}"
            for name, figure in self.figures.items()
        ]

    def write(self, directory: Path) -> Path:
        """Puts the file `<benchmark>.json` into the directory."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.benchmark}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))
        return path


def read(path: Path) -> Result:
    """A result file."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def rounded(value: float) -> float:
    """To four significant digits: more is noise."""
    return float(f"{value:.4g}")


def _plain(value: float) -> str:
    """Without exponent and trailing zeros: shells and people compare these."""
    text = f"{Decimal(repr(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
