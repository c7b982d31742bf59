"""Draws the plots of a result as SVG files."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
# The same picture for the same numbers, or every report would be a change.
matplotlib.rcParams["svg.hashsalt"] = "camrelay"

from matplotlib import pyplot  # noqa: E402  (the backend is chosen before it is imported)

from benchmarks.result import Plot  # noqa: E402


def draw(plot: Plot, path: Path) -> None:
    """Writes one plot."""
    figure, axes = pyplot.subplots(figsize=(7.0, 4.0))
    for curve in plot.curves:
        axes.plot(curve.x, curve.y, marker="o", markersize=4, label=curve.label)
    if plot.limit is not None:
        axes.axhline(plot.limit, color="grey", linestyle="--", linewidth=1)
    axes.set_title(plot.title)
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if len(plot.curves) > 1:
        axes.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
