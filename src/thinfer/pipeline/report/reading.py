"""What the page reads from a result: floors with their scale, and a metric of any row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "FloorView",
    "MetricKey",
    "kind_of",
    "metric_of",
    "metrics_to_draw",
    "read_floor",
    "retention_of",
]

_EXPRESSION = re.compile(
    r"\s*(?P<metric>\w+)\s*(?:\[(?P<label>.*)\])?\s*(?:@\s*\w+\s*=\s*[\d.]+%?)?"
    r"\s*(?P<way>>=|<=)\s*(?P<bound>[\d.]+)\s*(?P<per>%?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricKey:
    """Which number of a metrics row is meant.

    Attributes:
        metric: name, for example `recall`.
        label: the label it is of, or None.
    """

    metric: str
    label: str | None = None

    @property
    def title(self) -> str:
        """The name as the floor expression writes it."""
        return self.metric if self.label is None else f"{self.metric}[{self.label}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorView:
    """One floor on the scale on which it is judged.

    Attributes:
        key: the metric.
        expr: the floor as the user wrote it.
        relative: whether the scale is a ratio to the original.
        bound: the floor on that scale.
        above: whether values above the bound are good.
        value: of the chosen candidate on that scale; None when it was not judged.
        interval: around `value`, or None.
        verdict: `holds`, `unproven` or `broken`.
    """

    key: MetricKey
    expr: str
    relative: bool
    bound: float
    above: bool
    value: float | None
    interval: tuple[float, float] | None
    verdict: str


def read_floor(floor: Mapping[str, Any]) -> FloorView:
    """Give a floor of the result on the scale on which it is judged.

    Args:
        floor: an item of `floors`, its value and interval on the scale of the metric itself.

    Returns:
        The view.
    """
    expr = str(floor["expr"])
    match = _EXPRESSION.match(expr)
    parts = match.groupdict() if match else {"metric": expr, "way": ">=", "bound": "0", "per": ""}
    relative = parts["per"] == "%"
    value, interval = _on_scale(floor, relative)
    return FloorView(
        key=MetricKey(metric=parts["metric"], label=parts.get("label")),
        expr=expr,
        relative=relative,
        bound=float(parts["bound"]) / (100.0 if relative else 1.0),
        above=parts["way"] == ">=",
        value=value,
        interval=interval,
        verdict=str(floor.get("verdict", "unproven")),
    )


def _on_scale(
    floor: Mapping[str, Any], relative: bool
) -> tuple[float | None, tuple[float, float] | None]:
    value, original, ends = floor.get("value"), floor.get("original"), floor.get("interval")
    interval = None if not ends else (float(ends[0]), float(ends[1]))
    if value is None or not relative or not original:
        return value, interval
    whole = float(original)
    return float(value) / whole, interval and (interval[0] / whole, interval[1] / whole)


def metric_of(metrics: Mapping[str, Any] | None, key: MetricKey) -> float | None:
    """Give one number of a metrics row.

    Args:
        metrics: `metrics` or `dev_metrics` of a row, or None.
        key: which number; `recall` and `precision` without a label are the mean over labels.

    Returns:
        The number, or None where the row does not have it.
    """
    found = None if metrics is None else metrics.get(key.metric)
    if isinstance(found, Mapping):
        if key.label is not None:
            found = found.get(key.label)
        else:
            found = sum(found.values()) / len(found) if found else None
    return None if found is None else float(found)


def retention_of(
    row: Mapping[str, Any], original: Mapping[str, Any], key: MetricKey
) -> float | None:
    """Give what a candidate keeps of the original's metric on dev, as a ratio.

    Args:
        row: a candidate.
        original: the original.
        key: which metric.

    Returns:
        What was estimated, where a relative floor asks about it; else what was counted: 1.0 where
        both are equal, None where either is missing or the original's is 0.
    """
    for item in row.get("dev_estimates") or ():
        floor = read_floor(item)
        if floor.relative and floor.key == key:
            return float(item["value"])
    kept = metric_of(row.get("dev_metrics"), key)
    # Who was dropped early answered some rows of dev only: the original's own on those rows count.
    whole = metric_of(row.get("original_dev_metrics") or original.get("dev_metrics"), key)
    if key.metric == "agreement":
        return kept
    return None if kept is None or not whole else kept / whole


def kind_of(row: Mapping[str, Any], chosen: str | None) -> str:
    """Give what became of a candidate: `chosen`, `kept`, `refused` or `dropped` (before its forms).

    Args:
        row: a candidate.
        chosen: name of the chosen one.
    """
    if row.get("rung") is not None:
        return "dropped"
    return "chosen" if row.get("name") == chosen else "refused" if row.get("refused") else "kept"


def metrics_to_draw(floors: Sequence[FloorView]) -> tuple[MetricKey, ...]:
    """Give the metrics of the quality-cost chart: those with a floor first, each once."""
    usual = (MetricKey(metric="accuracy"), MetricKey(metric="macro_f1"))
    return tuple(dict.fromkeys([*(floor.key for floor in floors), *usual]))
