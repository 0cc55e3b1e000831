"""Bars: a floor with its interval, the factors of the speed as a waterfall, widths per layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from thinfer.pipeline.report.markup import Html, element, join
from thinfer.pipeline.report.reading import FloorView
from thinfer.pipeline.report.wording import show_percent, show_ratio

__all__ = ["draw_factors", "draw_floor", "draw_layers"]


def draw_floor(floor: FloorView) -> Html:
    """Give a floor as a track: the forbidden side, the bound, the interval and the value.

    Args:
        floor: on its own scale.

    Returns:
        The markup; empty where the floor was not judged.
    """
    if floor.value is None:
        return Html("")
    ends = floor.interval or (floor.value, floor.value)
    anchors = [floor.value, floor.bound, *ends, *([1.0] if floor.relative else [])]
    pad = 0.16 * (max(anchors) - min(anchors)) or 0.002
    low, high = min(anchors) - pad, max(anchors) + pad

    def place(value: float) -> float:
        return 100 * (value - low) / (high - low)

    bound = place(floor.bound)
    zone = (0.0, bound) if floor.above else (bound, 100.0 - bound)
    marks = [
        _box("zone", zone[0], zone[1]),
        _box("interval", place(ends[0]), place(ends[1]) - place(ends[0])),
        _box("dot", place(floor.value)),
        _box("bound", bound),
    ]
    if floor.relative:
        marks.insert(1, _box("same", place(1.0)))
    alt = (
        f"{show_percent(floor.value)}, interval {show_percent(ends[0])} to {show_percent(ends[1])}"
    )
    track = element(
        "div", {"class": f"track {floor.verdict}", "role": "img", "aria-label": alt}, *marks
    )
    ticks = [_tick("floor " + show_percent(floor.bound, 1), bound)]
    if floor.relative and abs(place(1.0) - bound) > 24:
        ticks.append(_tick("original", place(1.0)))
    return join(track, element("div", {"class": "ticks"}, *ticks))


def draw_factors(factors: Sequence[Mapping[str, Any]], speedup: float | None) -> Html:
    """Give the factors of the speed as a waterfall on a log scale, each starting at the last's end.

    Args:
        factors: items with `name`, `factor` and, where there is more to say, `detail`.
        speedup: of the chosen candidate, for the closing bar; None leaves it out.

    Returns:
        The markup.
    """
    steps = [max(float(item["factor"]), 1e-9) for item in factors]
    ends = [math.prod(steps[: count + 1]) for count in range(len(steps))]
    reached = [1.0, *ends, *([] if not speedup else [speedup])]
    low, high = math.log(min(reached)), math.log(max(reached))
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return 100 * (math.log(value) - low) / span

    rows = []
    for item, step, end in zip(factors, steps, ends, strict=True):
        left, right = sorted((place(end / step), place(end)))
        kind = "gain" if step >= 1.005 else "loss" if step <= 0.995 else "none"
        rows.append(
            _factor(
                str(item["name"]), str(item.get("detail") or ""), kind, (left, right - left), step
            )
        )
    if speedup:
        rows.append(
            _factor(
                "all together",
                "",
                "total",
                (place(1.0), place(speedup) - place(1.0)),
                speedup,
            )
        )
    return element("div", {"class": "factors"}, *rows)


def draw_layers(before: Mapping[str, Any], after: Mapping[str, Any]) -> Html:
    """Give heads and neurons of each layer that is left, as bars against the original's.

    Args:
        before: architecture of the original.
        after: architecture of the chosen candidate.

    Returns:
        The markup.
    """
    old, new = list(before.get("layers", ())), list(after.get("layers", ()))
    if not old or not new:
        return Html("")
    heads = max(layer["heads"] for layer in old) or 1
    ffn = max(layer["ffn"] for layer in old) or 1
    title = element(
        "div",
        {"class": "layer head"},
        *(element("span", {}, text) for text in ("layer", "attention heads", "FFN neurons")),
    )
    rows = [
        element(
            "div",
            {"class": "layer"},
            element("span", {"class": "number"}, str(count)),
            _share(layer["heads"], heads),
            _share(layer["ffn"], ffn),
        )
        for count, layer in enumerate(new, start=1)
    ]
    return element("div", {"class": "layers"}, title, *rows)


def _box(kind: str, left: float, width: float | None = None) -> Html:
    size = "" if width is None else f";width:{max(width, 0.4):.2f}%"
    return element("i", {"class": kind, "style": f"left:{left:.2f}%{size}"})


def _tick(text: str, left: float) -> Html:
    return element("span", {"style": f"left:{min(max(left, 9), 91):.2f}%"}, text)


def _factor(name: str, detail: str, kind: str, box: tuple[float, float], value: float) -> Html:
    words = element("div", {"class": "what"}, element("b", {}, name), element("small", {}, detail))
    bar = element("div", {"class": "lane"}, _box(kind, *box))
    return element(
        "div",
        {"class": f"factor {kind}"},
        words,
        bar,
        element("div", {"class": "times"}, show_ratio(value)),
    )


def _share(count: int, whole: int) -> Html:
    bar = (
        element("span", {"class": "lane"}, _box("gain", 0.0, 100 * count / whole))
        if count
        else (element("span", {"class": "lane"}))
    )
    text = f"{count:,}" if count else "none"
    return element("span", {"class": "share"}, bar, element("small", {}, f"{text} of {whole:,}"))
