"""Figures, tables and plots of WHEP ladders.

Labels are the servers' names, with GRO_OFF behind them where it was off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.percentile import spread
from benchmarks.result import Cell, Curve, Plot, Result, Table
from benchmarks.rising import busy_plot, capacities, capacity_table
from benchmarks.whep.step import Step

GRO_OFF = " (GRO off)"

#: What the command always names.
OWED = {
    "p1_viewers": "viewers",
    "p1_viewers_gro_off": "viewers",
    "p1_viewers_mediamtx": "viewers",
    "p1_viewers_aiortc": "viewers",
    "p1_vs_mediamtx": "ratio",
    "p1_vs_aiortc": "ratio",
    "p1_us_per_packet": "us",
    "p1_loop_lag_p99_ms": "ms",
    "p5_whep_start_p50_ms": "ms",
    "p5_whep_start_p99_ms": "ms",
    "p6_delay_p50_ms_500": "ms",
    "p6_delay_p99_ms_500": "ms",
    "p6_delay_p99_ms_2000": "ms",
    "p9_kb_per_webrtc_viewer": "kB",
}

Ladders = Mapping[str, Sequence[Sequence[Step]]]


def summarize(result: Result, ladders: Ladders) -> None:
    """Puts everything into the result; figures that could not be measured stay as they are."""
    result.tables += [capacity_table("Viewers on one core", "viewers", ladders), _steps(ladders)]
    result.plots += [
        busy_plot("webrtc_busy", "One core against WebRTC viewers", "viewers", ladders),
        _delays(ladders),
    ]
    found = capacities(ladders)
    for label, capacity in found.items():
        name = label.removeprefix("camrelay").replace(GRO_OFF, "_gro_off")
        result.figure(f"p1_viewers{name and '_' + name.removeprefix('_')}", capacity, "viewers")
    own = [label for label in ("camrelay", "camrelay" + GRO_OFF) if label in found]
    if not own:
        return
    for rival in found.keys() - set(own):
        ratio = found[own[0]].median / found[rival].median if found[rival].median else None
        result.figure(f"p1_vs_{rival}", ratio, "ratio", f"{rival} held no size")
    _own(result, ladders[own[0]])


def _own(result: Result, rounds: Sequence[Sequence[Step]]) -> None:
    """The figures that are about camrelay alone."""
    held = [step for ladder in rounds for step in ladder if not step.broke]
    if not held:
        return
    largest = max(held, key=lambda step: step.size)
    result.figure("p1_us_per_packet", largest.busy / largest.packets_per_s * 1e6, "us")
    result.figure("p1_loop_lag_p99_ms", _milliseconds([largest.lag_p99_s]), "ms", "no lag metric")
    result.figure("p5_whep_start_p50_ms", _milliseconds([s.start_p50_s for s in held]), "ms")
    result.figure("p5_whep_start_p99_ms", _milliseconds([s.start_p99_s for s in held]), "ms")
    for size in (500, 2000):
        there = [step for ladder in rounds for step in ladder if step.size == size]
        if size == 500:
            median = _milliseconds([s.delay_p50_s for s in there])
            result.figure("p6_delay_p50_ms_500", median, "ms", "size not reached")
        worst = _milliseconds([s.delay_p99_s for s in there])
        result.figure(f"p6_delay_p99_ms_{size}", worst, "ms", "size not reached")
    growth = [
        (ladder[-1].rss_bytes - ladder[0].rss_bytes) / (ladder[-1].size - ladder[0].size) / 1000
        for ladder in rounds
        if ladder[-1].size > ladder[0].size
    ]
    result.figure("p9_kb_per_webrtc_viewer", spread(growth) if growth else None, "kB", "one size only")


def _milliseconds(seconds: Sequence[float]) -> float | None:
    """The median of what was measured, None when nothing was."""
    found = [value for value in seconds if not math.isnan(value)]
    return spread(found).median * 1000 if found else None


def _shown(seconds: float) -> float | None:
    return None if math.isnan(seconds) else seconds * 1000


def _steps(ladders: Ladders) -> Table:
    columns = [
        "server", "viewers", "core %", "Mb/s", "lost", "delay p50 ms", "p99 ms", "start p50 ms", "p99 ms",
        "RSS MB", "loop lag p99 ms", "load client %", "others %", "broke",
    ]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            label, step.size, step.busy * 100, step.mbps, step.lost,
            *map(_shown, (step.delay_p50_s, step.delay_p99_s, step.start_p50_s, step.start_p99_s)),
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
        seen = [step for step in rounds[0] if not math.isnan(step.delay_p99_s)]
        curves.append(Curve(label, [float(s.size) for s in seen], [s.delay_p99_s * 1000 for s in seen]))
    return Plot("webrtc_delay", "Camera to WebRTC viewer, p99", "viewers", "ms", curves)
