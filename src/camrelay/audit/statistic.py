"""Usage in numbers that isolate nobody: by camera and whole day, rounded, where enough people watched.

A day's numbers are made once, when it is over, and never again: nobody can leave a day to learn what they
had added, and there is nothing finer than a day and a camera to ask for. Sums are made of what is told, so no
difference leads to what is not. A viewing belongs to the day in which it began.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

#: Fewer people than this would be recognised by those who know them.
K = 10
#: Views and peaks are told to the nearest of these, watching to the nearest of those.
STEP = 5
STEP_S = 600
#: What one person can add to the views of a day: more would make the number theirs.
MAX_VIEWS_EACH = 20


class Watched(msgspec.Struct, frozen=True):
    """One viewing. `who` tells people apart, and is the same for those who cannot be."""

    camera: str
    who: str
    start_us: int
    end_us: int


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of a camera and a day: nothing but that it was watched where too few people did."""

    day: str
    camera: str
    views: int | None = None
    watch_s: int | None = None
    peak: int | None = None


def usage(day: str, watched: Iterable[Watched]) -> list[Usage]:
    """What is told of a day, by camera."""
    by_camera: dict[str, list[Watched]] = defaultdict(list)
    for each in watched:
        by_camera[each.camera].append(each)
    return [_tell(day, camera, by_camera[camera]) for camera in sorted(by_camera)]


def total(days: Iterable[Usage]) -> list[Usage]:
    """The same for all cameras together: sums of what is told of each."""
    by_day: dict[str, list[Usage]] = defaultdict(list)
    for each in days:
        by_day[each.day].append(each)
    return [_add(day, by_day[day]) for day in sorted(by_day)]


def plot(days: Sequence[Usage]) -> str:
    """Bars of the views of each day, of one camera or a total, as SVG without colours of its own."""
    width, height, foot, head = 720, 200, 20, 20
    most = max((each.views or 0 for each in days), default=0) or 1
    step = width / max(1, len(days))
    bars, labels = [], []
    every = max(1, -(-len(days) // 8))
    for place, each in enumerate(days):
        tall = (each.views or 0) / most * (height - head - foot)
        left, top = place * step + step * 0.15, height - foot - tall
        if tall:
            bars.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{step * 0.7:.1f}" height="{tall:.1f}" rx="2">'
                f"<title>{each.day}: {each.views}</title></rect>"
            )
        if place % every == 0:
            labels.append(f'<text x="{left:.1f}" y="{height - 4}">{each.day[5:]}</text>')
    axis = f'<path class="axis" d="M0 {height - foot}.5H{width}"/>'
    scale = f'<text x="0" y="12">{most}</text>' if bars else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        f"{axis}{''.join(bars)}{''.join(labels)}{scale}</svg>"
    )


def _tell(day: str, camera: str, watched: list[Watched]) -> Usage:
    views: dict[str, int] = defaultdict(int)
    for each in watched:
        views[each.who] += 1
    if len(views) < K:
        return Usage(day, camera)
    watch_us = sum(max(0, each.end_us - each.start_us) for each in watched)
    return Usage(
        day,
        camera,
        views=_round(sum(min(count, MAX_VIEWS_EACH) for count in views.values()), STEP),
        watch_s=_round(watch_us / 1e6, STEP_S),
        peak=_round(_peak(watched), STEP),
    )


def _peak(watched: list[Watched]) -> int:
    """How many different people watched at once."""
    # At one moment, ends come before starts: whoever follows somebody did not watch beside them.
    moments = sorted(
        moment
        for each in watched
        for moment in ((each.start_us, 1, each.who), (max(each.end_us, each.start_us + 1), 0, each.who))
    )
    running: dict[str, int] = defaultdict(int)
    peak = 0
    for _, is_start, who in moments:
        running[who] += 1 if is_start else -1
        if running[who] <= 0:
            del running[who]
        peak = max(peak, len(running))
    return peak


def _add(day: str, parts: list[Usage]) -> Usage:
    told = [each for each in parts if each.views is not None]
    if not told:
        return Usage(day, "")
    # People are not the same at two cameras at once, or are: the peak of all lies between.
    return Usage(
        day,
        "",
        views=sum(each.views or 0 for each in told),
        watch_s=sum(each.watch_s or 0 for each in told),
        peak=max(each.peak or 0 for each in told),
    )


def _round(value: float, step: int) -> int:
    return round(value / step) * step
