"""The text that Prometheus reads (exposition format 0.0.4), metric by metric.

The library's own writer checks and escapes every name of every line anew. With a hundred cameras that is two
thirds of a page's time, which all viewers wait for.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Protocol

#: Label sets that are remembered: a few for each of a thousand cameras.
_LABELS_LIMIT = 16_384

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_DOCUMENTATION_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
_SPECIAL = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}


class Sample(Protocol):
    """One line."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def value(self) -> float: ...


class Metric(Protocol):
    """A counter, gauge or histogram with its samples; a counter's name is without `_total`."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def documentation(self) -> str: ...
    @property
    def samples(self) -> Sequence[Sample]: ...


def text(metric: Metric) -> bytes:
    """The lines of one metric."""
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    lines = [
        f"# HELP {name} {metric.documentation.translate(_DOCUMENTATION_ESCAPES)}",
        f"# TYPE {name} {metric.type}",
    ]
    for sample in metric.samples:
        value = repr(float(sample.value))
        labels = _labels(tuple(sample.labels.items()))
        lines.append(f"{sample.name}{labels} {_SPECIAL.get(value, value)}")
    return "\n".join((*lines, "")).encode()


@functools.lru_cache(_LABELS_LIMIT)
def _labels(pairs: tuple[tuple[str, str], ...]) -> str:
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs) + "}"
