"""The smaller sections of the page: cards, floors, what was done, facts and warnings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from thinfer.pipeline.report.bars import draw_floor, draw_layers
from thinfer.pipeline.report.markup import Html, element, join
from thinfer.pipeline.report.reading import FloorView, MetricKey, metric_of
from thinfer.pipeline.report.wording import (
    show_bytes,
    show_count,
    show_milliseconds,
    show_percent,
    show_ratio,
    text_of,
)

__all__ = [
    "show_cards",
    "show_changes",
    "show_facts",
    "show_floors",
    "show_warnings",
]

_VERDICTS = {"holds": "holds", "unproven": "not proven", "broken": "broken"}


def show_cards(result: Mapping[str, Any]) -> Html:
    """Give the before/after cards: speed, one text, size, memory and accuracy."""
    before, after = result["original"], result.get("chosen") or {}
    accuracy = MetricKey(metric="accuracy")
    rows: list[tuple[str, str, Callable[[float], str], bool, float | None]] = [
        (
            "Throughput",
            "texts_per_second",
            _texts_per_second,
            True,
            result.get("speedup"),
        ),
        ("One text alone", "latency_ms", show_milliseconds, False, result.get("latency_ratio")),
        ("Size to run", "size_bytes", show_bytes, False, None),
        ("Peak memory", "peak_rss_bytes", show_bytes, False, None),
    ]
    cards = []
    for title, field, show, more_is_better, ratio in rows:
        old, new = before.get(field), after.get(field)
        if old and new:
            gain = ratio or (new / old if more_is_better else old / new)
            words = "faster" if field in {"texts_per_second", "latency_ms"} else "smaller"
            words = words if gain >= 1 else {"faster": "as fast", "smaller": "as small"}[words]
            cards.append(_card(title, show_ratio(gain), words, (show(old), show(new)), (old, new)))
    old, new = (metric_of(row.get("metrics"), accuracy) for row in (before, after))
    if old and new:
        shown = (show_percent(old), show_percent(new))
        cards.append(
            _card("Accuracy on test", show_percent(new / old, 1), "kept", shown, (old, new))
        )
    return element("div", {"class": "cards"}, *cards)


def show_floors(floors: Sequence[Mapping[str, Any]], views: Sequence[FloorView]) -> Html:
    """Give each floor: its bar, the verdict and the reason in words."""
    rows = []
    for floor, view in zip(floors, views, strict=True):
        reason = str(floor.get("reason") or "").rstrip(".")
        words = [f"{reason}."] if reason else []
        if floor.get("rows_needed") and view.verdict == "unproven":
            words.append(f"About {floor['rows_needed']:,} test rows would be enough to prove it.")
        before, after = show_percent(floor.get("original")), show_percent(floor.get("value"))
        name = element(
            "div",
            {"class": "what"},
            element("code", {}, view.expr),
            _badge(view.verdict),
            element("small", {}, f"{before} → {after} on test"),
        )
        bar = element("div", {"class": "bar"}, draw_floor(view))
        note = element("p", {}, " ".join(words))
        rows.append(element("article", {"class": f"floor {view.verdict}"}, name, bar, note))
    return element("div", {"class": "floors"}, *rows)


def show_changes(result: Mapping[str, Any]) -> Html:
    """Give what was removed: widths per layer, vocabulary, and every step with its outcome."""
    before = result["original"].get("architecture") or {}
    after = (result.get("chosen") or {}).get("architecture") or {}
    facts = [
        ("layers", f"{len(before.get('layers', ()))} → {len(after.get('layers', ()))}"),
        ("hidden width", f"{text_of(before.get('hidden'))} → {text_of(after.get('hidden'))}"),
    ]
    vocabulary = result.get("vocabulary") or {}
    kept = (result.get("chosen") or {}).get("kept_fp32")
    if kept:
        facts.append(("left in FP32", ", ".join(kept)))
    shows = (
        ("rows", "vocabulary", show_count),
        ("bytes", "its table", show_bytes),
        ("unknown_rate", "unknown tokens", lambda value: show_percent(value, 3)),
    )
    for field, title, show in shows:
        pair = vocabulary.get(field)
        if pair:
            facts.append((title, f"{show(pair.get('before'))} → {show(pair.get('after'))}"))
    return join(
        element("div", {"class": "split"}, _definitions(facts), draw_layers(before, after)),
        _steps(result.get("steps") or ()),
    )


def show_facts(result: Mapping[str, Any]) -> Html:
    """Give data and machine as two lists of facts."""
    blocks = []
    for title, field in (("Data", "data"), ("Machine", "machine")):
        facts = result.get(field)
        if facts:
            rows = [(key.replace("_", " "), _fact(key, value)) for key, value in facts.items()]
            blocks.append(element("div", {}, element("h3", {}, title), _definitions(rows)))
    return element("div", {"class": "split"}, *blocks)


def show_warnings(warnings: Sequence[str]) -> Html:
    """Give the warnings as a list; nothing where there are none."""
    if not warnings:
        return Html("")
    rows = (element("li", {}, str(text)) for text in warnings)
    return element("ul", {"class": "warnings"}, *rows)


def _card(
    title: str, big: str, words: str, shown: tuple[str, str], sizes: tuple[float, float]
) -> Html:
    whole = max(sizes)
    bars = [
        element(
            "div",
            {"class": f"pair {kind}"},
            element(
                "span",
                {"class": "lane"},
                element("i", {"style": f"left:0;width:{max(100 * size / whole, 1):.1f}%"}),
            ),
            element("small", {}, text),
        )
        for kind, size, text in zip(("before", "after"), sizes, shown, strict=True)
    ]
    head = element("p", {"class": "big"}, big, " ", element("span", {}, words))
    return element("article", {"class": "card"}, element("h3", {}, title), head, *bars)


def _texts_per_second(value: float) -> str:
    return f"{show_count(value)} texts/s"


def _badge(verdict: str) -> Html:
    return element("span", {"class": f"badge {verdict}"}, _VERDICTS.get(verdict, verdict))


def _steps(steps: Sequence[Mapping[str, Any]]) -> Html:
    if not steps:
        return Html("")
    rows = []
    for step in steps:
        outcome = str(step.get("outcome", ""))
        rows.append(
            element(
                "li",
                {},
                element("span", {"class": f"state {outcome}"}, outcome),
                element("b", {}, str(step.get("step", "")).replace("_", " ")),
                element("span", {}, str(step.get("reason") or "")),
                element("small", {}, _figures(step.get("details") or {})),
            )
        )
    return element("ol", {"class": "steps"}, *rows)


def _figures(details: Mapping[str, Any]) -> str:
    """Give the single figures of a step; lists per layer would drown the page."""
    single = {key: value for key, value in details.items() if isinstance(value, int | float | str)}
    shown = (f"{key.replace('_', ' ')} {_fact(key, value)}" for key, value in single.items())
    return ", ".join(shown)


def _fact(key: str, value: object) -> str:
    if key.endswith("_bytes") and isinstance(value, int | float):
        return show_bytes(value)
    if key.endswith("_digest"):
        return str(value)[:12]
    return text_of(value)


def _definitions(rows: Sequence[tuple[str, str]]) -> Html:
    pairs = (join(element("dt", {}, key), element("dd", {}, text)) for key, text in rows)
    return element("dl", {}, *pairs)
