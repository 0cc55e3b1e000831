"""The tables of models: every candidate, and the result beside what one would run instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thinfer.pipeline.report.markup import Html, element, join
from thinfer.pipeline.report.reading import MetricKey, kind_of, metric_of, retention_of
from thinfer.pipeline.report.wording import (
    show_bytes,
    show_count,
    show_milliseconds,
    show_percent,
    show_ratio,
)

__all__ = ["show_candidates", "show_side_by_side"]


def show_candidates(result: Mapping[str, Any], keys: Sequence[MetricKey]) -> Html:
    """Give the table of all candidates, refused ones with their reason."""
    heads = [
        "candidate",
        "state",
        *(f"{key.title} kept" for key in keys),
        "speed",
        "one text",
        "size",
        "memory",
        "engine",
    ]
    header = element("tr", {}, *(element("th", {"scope": "col"}, head) for head in heads))
    chosen = (result.get("chosen") or {}).get("name")
    made: list[Html] = []
    early: list[Html] = []
    for row in result.get("candidates", ()):
        is_early = kind_of(row, chosen) == "dropped"
        (early if is_early else made).append(_candidate(row, result["original"], chosen, keys))
    table = element(
        "table", {"id": "candidates"}, element("thead", {}, header), element("tbody", {}, *made)
    )
    whole = element("div", {"class": "scroll", "tabindex": "0"}, table)
    return join(whole, _fold(header, early)) if early else whole


def _fold(header: Html, rows: Sequence[Html]) -> Html:
    """Give the rows that were dropped early in a table that opens on demand."""
    table = element("table", {}, element("thead", {}, header), element("tbody", {}, *rows))
    return element(
        "details",
        {"class": "early"},
        element("summary", {}, f"{len(rows)} dropped before a form was made; speeds are predicted"),
        element("div", {"class": "scroll", "tabindex": "0"}, table),
    )


def show_side_by_side(result: Mapping[str, Any]) -> Html:
    """Give the table that sets the result beside eager transformers and two cheap models."""
    chosen = result.get("chosen") or None
    rows = [
        ("transformers, eager FP32", result.get("baseline")),
        ("original, ONNX Runtime FP32", result["original"]),
        (f"chosen: {chosen.get('name', '')}" if chosen else "", chosen),
        *(_name_cheap(result.get(field)) for field in ("linear", "textcnn")),
    ]
    heads = ("model", "accuracy", "macro F1", "texts/s", "size to run", "peak memory")
    header = element("tr", {}, *(element("th", {"scope": "col"}, head) for head in heads))
    body = []
    for name, row in rows:
        if not row:
            continue
        metrics = row.get("metrics")
        cells = (
            show_percent(metric_of(metrics, MetricKey(metric="accuracy"))),
            show_percent(metric_of(metrics, MetricKey(metric="macro_f1"))),
            show_count(row.get("texts_per_second")),
            show_bytes(row.get("size_bytes")),
            show_bytes(row.get("peak_rss_bytes")),
        )
        kind = "chosen" if row is chosen else None
        body.append(
            element(
                "tr",
                {"class": kind},
                element("th", {"scope": "row"}, name),
                *(element("td", {}, cell) for cell in cells),
            )
        )
    table = element("table", {}, element("thead", {}, header), element("tbody", {}, *body))
    return element("div", {"class": "scroll", "tabindex": "0"}, table)


def _name_cheap(row: Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any] | None]:
    """Give a cheap model's row, named as one that holds the floors where it does."""
    if not row:
        return "", None
    holds = "missed_on_dev" in row and not row["missed_on_dev"]
    return row.get("name", "cheap model") + (" (holds the floors on dev)" if holds else ""), row


def _candidate(
    row: Mapping[str, Any],
    original: Mapping[str, Any],
    chosen: str | None,
    keys: Sequence[MetricKey],
) -> Html:
    name, refused = str(row.get("name", "")), row.get("refused")
    kind = kind_of(row, chosen)
    state = "good, not chosen" if kind == "kept" else kind
    cells = [
        *(show_percent(retention_of(row, original, key)) for key in keys),
        show_ratio(row.get("speedup") or row.get("predicted_speedup")),
        show_milliseconds(row.get("latency_ms")),
        show_bytes(row.get("size_bytes")),
        show_bytes(row.get("peak_rss_bytes")),
        _engine(row),
    ]
    reason = element("small", {"class": "reason"}, str(refused)) if refused else ""
    return element(
        "tr",
        {"class": kind, "data-name": name},
        element("th", {"scope": "row"}, name),
        element("td", {}, element("span", {"class": f"state {kind}"}, state), reason),
        *(element("td", {}, cell) for cell in cells),
    )


def _engine(row: Mapping[str, Any]) -> Html:
    """Give engine and precision, and below them the blocks that INT8 leaves in FP32."""
    name = f"{row.get('engine') or '–'} · {row.get('precision') or '–'}"
    kept = row.get("kept_fp32")
    if not kept:
        return join(name)
    return join(name, element("small", {"class": "reason"}, f"in FP32: {', '.join(kept)}"))
