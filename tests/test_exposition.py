"""The page that Prometheus reads."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from camrelay import exposition, metrics


def read(registry: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What a reader makes of a registry's page."""
    page = b"".join(map(exposition.text, registry.collect())).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_a_reader_gets_what_was_counted() -> None:
    """Counters, gauges and histograms, with and without labels, whatever is in them."""
    registry = CollectorRegistry()
    odd = 'back\\slash, "quotes"\nand a line'
    Counter("things_total", "Things\n\\ seen.", ["camera"], registry=registry).labels(odd).inc(3)
    Gauge("level", "A level.", registry=registry).set(1e16)
    Gauge("top", "No end.", registry=registry).set(math.inf)
    Gauge("bottom", "No begin.", registry=registry).set(-math.inf)
    Histogram("waits", "Waits.", registry=registry, buckets=(0.1, 1.0)).observe(0.5)
    page = read(registry)
    assert page["things_total", frozenset({("camera", odd)})] == 3
    assert page["level", frozenset()] == 1e16
    assert (page["top", frozenset()], page["bottom", frozenset()]) == (math.inf, -math.inf)
    buckets = {dict(labels)["le"]: value for (name, labels), value in page.items() if name == "waits_bucket"}
    assert buckets == {"0.1": 0, "1.0": 1, "+Inf": 1}
    assert page["waits_sum", frozenset()] == 0.5


def test_what_is_no_number_is_called_so() -> None:
    """A gauge that cannot be read."""
    registry = CollectorRegistry()
    Gauge("age", "An age.", registry=registry).set(math.nan)
    assert math.isnan(read(registry)["age", frozenset()])


def test_the_relay_writes_one_metric_after_the_other() -> None:
    """So that media does not wait for the whole page; and no series of when a counter began."""
    texts = list(metrics.render())
    assert all(text.startswith(b"# HELP ") and text.count(b"# HELP ") == 1 for text in texts)
    assert any(text.startswith(b"# HELP camrelay_camera_up ") for text in texts)
    assert b"_created" not in b"".join(texts)
