"""Reads a Prometheus exposition: counters, and quantiles of what histograms gained between two readings."""

from __future__ import annotations

import math
import re

import aiohttp

#: Name with labels, value.
Page = dict[str, float]

#: Of camrelay: how late its event loop ran its timers.
EVENT_LOOP_LAG = "camrelay_event_loop_lag_seconds"

_LINE = re.compile(r"^([a-zA-Z_:][^\s{]*(?:\{[^}]*\})?)\s+(\S+)")


def parse(text: str) -> Page:
    """Every sample of a page."""
    found = (_LINE.match(line) for line in text.splitlines() if not line.startswith("#"))
    return {m[1]: float(m[2]) for m in found if m}


async def fetch(url: str) -> Page:
    """Reads a /metrics page."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as response:
        return parse(await response.text())


def total(page: Page, name: str) -> float:
    """The sum of a metric over all its labels."""
    return sum(value for key, value in page.items() if key == name or key.startswith(name + "{"))


def quantile(before: Page, after: Page, name: str, q: float) -> float | None:
    """A quantile of the observations between two readings, all labels together.

    Returns:
        Linear inside its bucket, as Prometheus does it; None without observations; infinity beyond the last
        bucket.
    """
    buckets: dict[float, float] = {}
    for key, value in after.items():
        if key.startswith(name + "_bucket{"):
            found = re.search(r'le="([^"]+)"', key)
            assert found, "a bucket has its upper bound"
            bound = float(found[1])
            buckets[bound] = buckets.get(bound, 0.0) + value - before.get(key, 0.0)
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    rank = q * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if math.isinf(bound):
                return bound
            return lower + (bound - lower) * (rank - below) / max(buckets[bound] - below, 1e-9)
        lower, below = bound, buckets[bound]
    return math.inf
