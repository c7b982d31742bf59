"""How load rises until a limit breaks, and what that says. Pure: no load is made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from benchmarks.percentile import Spread, spread
from benchmarks.result import Cell, Curve, Plot, Table

#: Sizes that are always measured on the way, because targets name them.
LANDMARKS = (500, 1000, 1500, 2000)

#: (busy share of the server's core, factor to the next size): big steps while it idles, small near the end.
_FACTORS = ((0.25, 2.0), (0.5, 1.5), (0.65, 1.2), (float("inf"), 1.08))

#: Of steps that close in on a limit: factors to sizes above, and how near two sizes are near enough.
_LEAST_FACTOR, _MOST_FACTOR, _NEAR = 1.2, 2.0, 0.06

#: P1 and its like: what a core may be busy, leaving room for the unexpected.
BUSY_LIMIT = 0.80

#: Beyond this the load client's own core is the limit, and a figure would be about it.
CLIENT_BUSY_LIMIT = 0.97


class Step(Protocol):
    """One size, measured; `busy` is the share of the server's core, `broke` the limit that broke, if any."""

    @property
    def size(self) -> int: ...
    @property
    def busy(self) -> float: ...
    @property
    def broke(self) -> str: ...


class Limit(NamedTuple):
    """What must hold. `text` names the limit in tables."""

    text: str
    holds: bool


#: The steps of one climb; only the last may have broken.
Ladder = Sequence[Step]


def next_size(size: int, busy: float, most: int) -> int | None:
    """The size to try after one that held.

    Args:
        busy: share of the server's core that `size` took.
        most: never more than this.

    Returns:
        None when `most` has been reached.
    """
    if size >= most:
        return None
    factor = next(factor for share, factor in _FACTORS if busy < share)
    wished = max(size + 1, int(size * factor))
    passed = [mark for mark in LANDMARKS if size < mark < wished]
    return min(passed[0] if passed else wished, most)


def closer_size(held: int, broke: int | None, busy: float, most: int) -> int | None:
    """The size to try between one that held and one that broke; while none has broken, one well above.

    Args:
        held: the largest size that held, 0 when none did.
        broke: the least that broke.
        busy: share of the server's core that `held` took.
        most: never more than this.

    Returns:
        None when they are near each other, or `most` has been reached.
    """
    if broke is not None:
        return (held + broke) // 2 if broke - held > max(1, broke * _NEAR) else None
    if held >= most:
        return None
    factor = min(max(BUSY_LIMIT / max(busy, 0.01), _LEAST_FACTOR), _MOST_FACTOR)
    return min(max(held + 1, int(held * factor)), most)


def broken(*limits: Limit) -> str:
    """The first limit that does not hold, "" when all do."""
    return next((limit.text for limit in limits if not limit.holds), "")


def capacity(ladder: Ladder) -> int:
    """The largest size at which everything held, 0 when the first did not."""
    return max((step.size for step in ladder if not step.broke), default=0)


def capacities(ladders: Mapping[str, Sequence[Ladder]]) -> dict[str, Spread]:
    """Label -> capacity over the rounds."""
    return {label: spread([capacity(ladder) for ladder in rounds]) for label, rounds in ladders.items()}


def capacity_table(title: str, unit: str, ladders: Mapping[str, Sequence[Ladder]]) -> Table:
    """One row per label."""
    rows: list[list[Cell]] = []
    for label, found in capacities(ladders).items():
        ends = ", ".join(dict.fromkeys(ladder[-1].broke or "not broken" for ladder in ladders[label]))
        rows.append([label, round(found.median), round(found.low), round(found.high), ends])
    return Table(title, ["server", unit, "lowest", "highest", "first limit broken"], rows)


def busy_plot(name: str, title: str, unit: str, ladders: Mapping[str, Sequence[Ladder]]) -> Plot:
    """The server's core over the size, first round."""
    curves = [
        Curve(label, [float(step.size) for step in rounds[0]], [step.busy * 100 for step in rounds[0]])
        for label, rounds in ladders.items()
    ]
    return Plot(name, title, unit, "core busy, %", curves, BUSY_LIMIT * 100)
