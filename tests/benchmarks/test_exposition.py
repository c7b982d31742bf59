"""Reading a Prometheus page."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from benchmarks.exposition import parse, quantile, total

REGISTRY = CollectorRegistry()
COUNTER = Counter("things_total", "Things.", ["kind"], registry=REGISTRY)
LAG = Histogram("lag_seconds", "Lag.", registry=REGISTRY, buckets=(0.01, 0.02, 0.04))


def page() -> dict[str, float]:
    return parse(generate_latest(REGISTRY).decode())


def test_a_counter_is_summed_over_its_labels() -> None:
    """And only its own samples."""
    COUNTER.labels("a").inc(2)
    COUNTER.labels("b").inc(3)
    assert total(page(), "things_total") == 5
    assert total(page(), "things") == 0


def test_quantiles_are_of_what_came_between_two_readings() -> None:
    """Linear inside a bucket, infinite beyond the last, None without observations."""
    LAG.observe(5)
    before = page()
    assert quantile(before, before, "lag_seconds", 0.5) is None
    for _ in range(10):
        LAG.observe(0.015)
    assert quantile(before, page(), "lag_seconds", 0.5) == 0.015
    for _ in range(10):
        LAG.observe(9)
    found = quantile(before, page(), "lag_seconds", 0.99)
    assert found is not None
    assert math.isinf(found)


def test_a_page_without_the_histogram() -> None:
    """None, as from a server that has no such metric."""
    assert quantile({}, {}, "lag_seconds", 0.5) is None
