"""The quality-cost front: what each candidate keeps of a metric, against how much faster it is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thinfer.pipeline.report.markup import Html, element, join
from thinfer.pipeline.report.reading import FloorView, MetricKey, kind_of, retention_of
from thinfer.pipeline.report.wording import (
    show_bytes,
    show_milliseconds,
    show_percent,
    show_ratio,
)

__all__ = ["Point", "draw_front", "read_points"]

WIDTH, HEIGHT = 880, 430
LEFT, RIGHT, TOP, BOTTOM = 74, 26, 30, 58
RADIUS = 6.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A row of the result as a point of the chart.

    Attributes:
        name: its name.
        kind: `original`, `baseline`, `kept`, `refused`, `dropped` or `chosen`.
        speedup: throughput as a ratio to the original's, > 0.
        retention: the metric as a ratio to the original's.
        facts: what hovering shows, name and text.
    """

    name: str
    kind: str
    speedup: float
    retention: float
    facts: tuple[tuple[str, str], ...]


def read_points(result: Mapping[str, Any], key: MetricKey) -> tuple[Point, ...]:
    """Give the rows with a speed, in drawing order: the chosen one last, on top.

    Args:
        result: of `compress`.
        key: the metric of the chart.

    Returns:
        One point a row; rows without a speed or without the metric are left out.
    """
    original = result["original"]
    chosen = (result.get("chosen") or {}).get("name")
    rows: list[tuple[str, Mapping[str, Any]]] = [("original", {**original, "speedup": 1.0})]
    if result.get("baseline"):
        rows.append(("baseline", _with_speedup(result["baseline"], original)))
    rows += [(kind_of(row, chosen), row) for row in result.get("candidates", ())]
    points = [_point(kind, row, original, key) for kind, row in rows]
    order = ("dropped", "refused", "kept", "baseline", "original", "chosen")
    found = [point for point in points if point is not None]
    return tuple(sorted(found, key=lambda point: order.index(point.kind)))


def draw_front(points: Sequence[Point], key: MetricKey, floor: FloorView | None) -> Html:
    """Give the chart as inline SVG.

    Args:
        points: of one metric.
        key: that metric.
        floor: its relative floor, or None.

    Returns:
        The `svg` element; every point carries what hovering shows as data attributes.
    """
    bound = floor.bound if floor is not None and floor.relative else None
    scale = _Scale.over(points, bound)
    label = f"{key.title} kept on dev, against speed; {len(points)} points"
    return element(
        "svg",
        {
            "class": "front",
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "role": "group",
            "aria-label": label,
        },
        _grid(scale, key),
        _floor_line(scale, floor) if bound is not None and floor is not None else "",
        _front_line(scale, points),
        join(*(_mark(scale, point) for point in points)),
        _captions(scale, points),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where speed (log scale) and retention fall on the drawing."""

    slowest: float
    fastest: float
    lowest: float
    highest: float

    @classmethod
    def over(cls, points: Sequence[Point], bound: float | None) -> _Scale:
        speeds = [1.0, *(point.speedup for point in points)]
        good = [p.retention for p in points if p.kind not in {"refused", "dropped"}]
        anchors = [1.0, *good, *([] if bound is None else [bound])]
        spread = max(max(anchors) - min(anchors), 0.004)
        # A candidate far below the floor is drawn on the lower edge, so that the others stay apart.
        reach = [p.retention for p in points if abs(p.retention - 1.0) <= 6 * spread]
        low, high = min([*anchors, *reach]), max([*anchors, *reach])
        pad = 0.14 * (high - low) or 0.005
        return cls(min(speeds) / 1.18, max(speeds) * 1.22, low - pad, high + pad)

    def x(self, speedup: float) -> float:
        share = math.log(speedup / self.slowest) / math.log(self.fastest / self.slowest)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, retention: float) -> float:
        share = (retention - self.lowest) / (self.highest - self.lowest)
        return TOP + (1 - min(max(share, 0.0), 1.0)) * (HEIGHT - TOP - BOTTOM)

    def is_outside(self, retention: float) -> bool:
        return not self.lowest <= retention <= self.highest


def _with_speedup(row: Mapping[str, Any], original: Mapping[str, Any]) -> Mapping[str, Any]:
    own, whole = row.get("texts_per_second"), original.get("texts_per_second")
    if row.get("speedup") is not None or not own or not whole:
        return row
    return {**row, "speedup": own / whole}


def _point(
    kind: str, row: Mapping[str, Any], original: Mapping[str, Any], key: MetricKey
) -> Point | None:
    is_predicted = not row.get("speedup")
    speedup = row.get("predicted_speedup") if is_predicted else row.get("speedup")
    retention = retention_of(row, original, key)
    if not speedup or retention is None:
        return None
    own_name = "transformers, eager FP32" if kind == "baseline" else "original"
    facts = _facts(row, key, speedup, retention, is_predicted=is_predicted)
    if row.get("refused"):
        facts.append(("refused", str(row["refused"])))
    return Point(
        name=own_name if kind in {"original", "baseline"} else str(row.get("name", kind)),
        kind=kind,
        speedup=float(speedup),
        retention=retention,
        facts=tuple(facts),
    )


def _facts(
    row: Mapping[str, Any],
    key: MetricKey,
    speedup: float,
    retention: float,
    *,
    is_predicted: bool,
) -> list[tuple[str, str]]:
    kept = show_percent(retention)
    if is_predicted:
        rows = row.get("dev_rows")
        return [
            (f"{key.title} kept", f"{kept} on {rows:,} rows of dev" if rows else kept),
            ("speed", f"{show_ratio(speedup)}, predicted"),
        ]
    return [
        (f"{key.title} kept", kept),
        ("speed", show_ratio(speedup)),
        ("one text", show_milliseconds(row.get("latency_ms"))),
        ("size", show_bytes(row.get("size_bytes"))),
        ("engine", f"{row.get('engine') or '–'} · {row.get('precision') or '–'}"),
    ]


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Html:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    return element("line", {"class": kind, **ends})


def _text(kind: str, x: float, y: float, text: str) -> Html:
    return element("text", {"class": kind, "x": f"{x:.1f}", "y": f"{y:.1f}"}, text)


def _grid(scale: _Scale, key: MetricKey) -> Html:
    parts = []
    step = _round_step((scale.highest - scale.lowest) / 5)
    places = max(0, -math.floor(math.log10(step) + 1e-9) - 2)
    for count in range(math.ceil(scale.lowest / step), math.floor(scale.highest / step) + 1):
        y = scale.y(count * step)
        parts.append(_line("grid", LEFT, y, WIDTH - RIGHT, y))
        parts.append(_text("tick end", LEFT - 10, y + 4, show_percent(count * step, places)))
    for speed in (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128):
        if scale.slowest <= speed <= scale.fastest:
            x = scale.x(speed)
            parts.append(_line("grid", x, TOP, x, HEIGHT - BOTTOM))
            parts.append(_text("tick mid", x, HEIGHT - BOTTOM + 20, f"{speed:g}×"))
    parts.append(_text("axis", LEFT, 16, f"{key.title} kept on dev"))
    parts.append(_text("axis end", WIDTH - RIGHT, HEIGHT - 12, "speed, to the original →"))
    return join(*parts)


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(size * power for size in (1, 2, 5, 10) if size * power >= raw * 0.999)


def _floor_line(scale: _Scale, floor: FloorView) -> Html:
    y, edge = scale.y(floor.bound), HEIGHT - BOTTOM if floor.above else TOP
    zone = element(
        "rect",
        {
            "class": "forbidden",
            "x": LEFT,
            "y": f"{min(y, edge):.1f}",
            "width": WIDTH - LEFT - RIGHT,
            "height": f"{abs(edge - y):.1f}",
        },
    )
    below = 15 if floor.above else -7
    return join(
        zone,
        _line("floor", LEFT, y, WIDTH - RIGHT, y),
        _text("floor-name", LEFT + 8, y + below, f"floor: {floor.expr}"),
    )


def _front_line(scale: _Scale, points: Sequence[Point]) -> Html:
    held = sorted(
        (p for p in points if p.kind in {"kept", "chosen", "original"}),
        key=lambda p: (-p.speedup, -p.retention),
    )
    best, front = -math.inf, []
    for point in held:
        if point.retention > best:
            best = point.retention
            front.append(point)
    path = " ".join(f"{scale.x(p.speedup):.1f},{scale.y(p.retention):.1f}" for p in front)
    return element("polyline", {"class": "frontier", "points": path})


def _mark(scale: _Scale, point: Point) -> Html:
    x, y = scale.x(point.speedup), scale.y(point.retention)
    attributes = {
        "class": f"point {point.kind}",
        "tabindex": "0",
        "role": "img",
        "transform": f"translate({x:.1f} {y:.1f})",
        "data-name": point.name,
        "data-kind": point.kind,
        "data-facts": json.dumps(point.facts, ensure_ascii=False),
        "aria-label": point.name + ": " + ", ".join(f"{key} {text}" for key, text in point.facts),
    }
    return element("g", attributes, *_shape(point.kind, scale.is_outside(point.retention)))


def _shape(kind: str, outside: bool) -> list[Html]:
    # A hundred points with wide rings around them would cover each other.
    reach = element("circle", {"class": "reach", "r": 7 if kind == "dropped" else 15})
    if outside and kind == "dropped":
        return [reach, element("path", {"class": "dot", "d": "M-4 -3 L4 -3 L0 4 Z"})]
    if outside:
        return [reach, element("path", {"class": "dot", "d": "M-7 -5 L7 -5 L0 7 Z"})]
    if kind in {"original", "baseline"}:
        return [reach, element("path", {"class": "dot", "d": "M0 -8 L8 0 L0 8 L-8 0 Z"})]
    if kind == "dropped":
        return [reach, element("circle", {"class": "dot", "r": 3.5})]
    if kind == "refused":
        cross = element("path", {"class": "cross", "d": "M-3 -3 L3 3 M3 -3 L-3 3"})
        return [reach, element("circle", {"class": "dot", "r": RADIUS}), cross]
    if kind == "chosen":
        ring = element("circle", {"class": "ring", "r": RADIUS + 6})
        return [reach, ring, element("circle", {"class": "dot", "r": RADIUS + 1.5})]
    return [reach, element("circle", {"class": "dot", "r": RADIUS})]


def _captions(scale: _Scale, points: Sequence[Point]) -> Html:
    parts = []
    for point in points:
        if point.kind not in {"chosen", "original", "baseline"}:
            continue
        x, y = scale.x(point.speedup), scale.y(point.retention)
        text = {"chosen": f"{point.name} · {show_ratio(point.speedup)}", "original": "original"}
        side = "end" if x > WIDTH * 0.8 else "start" if x < WIDTH * 0.2 else "mid"
        shift = {"end": 12, "start": -6, "mid": 0}[side]
        words = text.get(point.kind, "transformers")
        down = 24 if point.kind == "baseline" else -19
        parts.append(_text(f"caption {point.kind} {side}", x + shift, y + down, words))
    return join(*parts)
