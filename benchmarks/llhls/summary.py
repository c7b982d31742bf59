"""Figures, tables and plots of HLS ladders and GETs.

Labels are the servers' names, with CLASSIC behind them where viewers did not use low latency.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.llhls.gets import SIZES, Gets
from benchmarks.llhls.step import Step
from benchmarks.percentile import spread
from benchmarks.result import Cell, Curve, Plot, Result, Table
from benchmarks.rising import busy_plot, capacities, capacity_table

CLASSIC = " (classic)"

#: What the command always names.
OWED = {
    "p2_viewers": "viewers",
    "p2_viewers_mediamtx": "viewers",
    "p2_vs_mediamtx": "ratio",
    "p2_viewers_classic": "viewers",
    "p2_part_delay_p99_ms": "ms",
    "p2_us_per_request": "us",
    "p2_loop_lag_p99_ms": "ms",
    "p3_gets_50kb": "requests/s",
    "p3_gets_500kb": "requests/s",
    "p3_50kb_vs_mediamtx": "ratio",
    "p3_500kb_vs_mediamtx": "ratio",
    "p3_50kb_vs_nginx": "ratio",
    "p3_500kb_vs_nginx": "ratio",
    "p3_50kb_vs_aiohttp": "ratio",
    "p3_500kb_vs_aiohttp": "ratio",
    "p7_hls_start_p50_ms": "ms",
    "p7_hls_behind_p50_ms": "ms",
    "p9_kb_per_hls_viewer": "kB",
}

Ladders = Mapping[str, Sequence[Sequence[Step]]]

#: Server -> one reading per round.
Rates = Mapping[str, Sequence[Mapping[str, Gets]]]


def summarize(result: Result, ladders: Ladders) -> None:
    """Puts what the ladders found into the result; figures that could not be measured stay as they are."""
    result.tables += [capacity_table("HLS viewers on one core", "viewers", ladders), _steps(ladders)]
    result.plots += [
        busy_plot("hls_busy", "One core against HLS viewers", "viewers", ladders),
        _delays(ladders),
    ]
    found = capacities(ladders)
    for label, capacity in found.items():
        name = label.replace(CLASSIC, "_classic").removeprefix("camrelay").strip("_")
        result.figure(f"p2_viewers{name and '_' + name}", capacity, "viewers")
    if "camrelay" in found and "mediamtx" in found:
        rival = found["mediamtx"].median
        ratio = found["camrelay"].median / rival if rival else None
        result.figure("p2_vs_mediamtx", ratio, "ratio", "mediamtx held no size")
    held = [step for ladder in ladders.get("camrelay", ()) for step in ladder if not step.broke]
    if not held:
        return
    largest = max(held, key=lambda step: step.size)
    result.figure("p2_part_delay_p99_ms", _milliseconds([largest.delay_p99_s]), "ms")
    result.figure("p2_us_per_request", largest.busy / largest.requests_per_s * 1e6, "us")
    result.figure("p2_loop_lag_p99_ms", _milliseconds([largest.lag_p99_s]), "ms", "no lag metric")
    result.figure("p7_hls_start_p50_ms", _milliseconds([s.start_p50_s for s in held]), "ms")
    result.figure("p7_hls_behind_p50_ms", _milliseconds([s.behind_p50_s for s in held]), "ms")
    growth = [
        (ladder[-1].rss_bytes - ladder[0].rss_bytes) / (ladder[-1].size - ladder[0].size) / 1000
        for ladder in ladders["camrelay"]
        if ladder[-1].size > ladder[0].size
    ]
    result.figure("p9_kb_per_hls_viewer", spread(growth) if growth else None, "kB", "one size only")


def summarize_gets(result: Result, rates: Rates) -> None:
    """Puts the rates of plain GETs into the result."""
    rows: list[list[Cell]] = []
    medians: dict[tuple[str, str], float] = {}
    for name, rounds in rates.items():
        for size in SIZES:
            found = spread([reading[size].requests_per_s for reading in rounds])
            medians[name, size] = found.median
            body_bytes = rounds[0][size].body_bytes
            rows.append([name, size, body_bytes, found.median, found.low, found.high])
            if name == "camrelay":
                result.figure(f"p3_gets_{size}", found, "requests/s")
    for (name, size), rate in medians.items():
        if name != "camrelay" and ("camrelay", size) in medians:
            result.figure(f"p3_{size}_vs_{name}", medians["camrelay", size] / rate, "ratio")
    columns = ["server", "body", "bytes", "requests/s", "lowest", "highest"]
    result.tables.append(Table("GETs of one body, 100 connections, one core", columns, rows))


def _milliseconds(seconds: Sequence[float]) -> float | None:
    """The median of what was measured, None when nothing was."""
    found = [value for value in seconds if not math.isnan(value)]
    return spread(found).median * 1000 if found else None


def _shown(seconds: float) -> float | None:
    return None if math.isnan(seconds) else seconds * 1000


def _steps(ladders: Ladders) -> Table:
    columns = [
        "server", "viewers", "core %", "Mb/s", "requests/s", "stalls", "delay p50 ms", "p99 ms",
        "behind p50 ms", "start p50 ms", "p99 ms", "RSS MB", "loop lag p99 ms", "load client %",
        "others %", "broke",
    ]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            label, step.size, step.busy * 100, step.mbps, step.requests_per_s, step.stalls,
            *map(_shown, (step.delay_p50_s, step.delay_p99_s, step.behind_p50_s)),
            *map(_shown, (step.start_p50_s, step.start_p99_s)),
            step.rss_bytes / 1e6, _shown(step.lag_p99_s), step.client_busy * 100,
            step.others * 100, step.broke,
        ]
        for label, rounds in ladders.items()
        for step in rounds[0]
    ]  # fmt: skip
    return Table("Every size of the first round", columns, rows)


def _delays(ladders: Ladders) -> Plot:
    curves = []
    for label, rounds in ladders.items():
        seen = [s for s in rounds[0] if not math.isnan(s.delay_p99_s) and not label.endswith(CLASSIC)]
        if seen:
            curves.append(Curve(label, [float(s.size) for s in seen], [s.delay_p99_s * 1000 for s in seen]))
    return Plot("hls_delay", "Camera to whole part at the viewer, p99", "viewers", "ms", curves)
