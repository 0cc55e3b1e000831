"""The page as a whole: the template, the verdict in words, and the sections in their places."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from thinfer.pipeline.report.bars import draw_factors
from thinfer.pipeline.report.candidates import show_candidates, show_side_by_side
from thinfer.pipeline.report.classes import CLASSES_NOTE, show_classes
from thinfer.pipeline.report.confidence import (
    CALIBRATION_NOTE,
    DISAGREEMENTS_NOTE,
    show_calibration,
    show_disagreements,
)
from thinfer.pipeline.report.front import draw_front, read_points
from thinfer.pipeline.report.markup import Html, element, join
from thinfer.pipeline.report.operating import OPERATING_NOTE, show_operating
from thinfer.pipeline.report.plain import show_plainly
from thinfer.pipeline.report.promise import say_plainly
from thinfer.pipeline.report.reading import (
    FloorView,
    MetricKey,
    kind_of,
    metrics_to_draw,
    read_floor,
)
from thinfer.pipeline.report.sections import (
    show_cards,
    show_changes,
    show_facts,
    show_floors,
    show_warnings,
)
from thinfer.pipeline.report.sparsity import SPARSITY_NOTE, show_sparsity
from thinfer.pipeline.report.wording import show_bytes, show_percent, show_ratio, show_seconds

__all__ = ["render_report"]

_HEADLINES = {
    "holds": "The floor holds.",
    "unproven": "Above the floor, not yet proven.",
    "broken": "The floor is broken.",
}
_LEGEND = (
    ("chosen", "chosen"),
    ("kept", "good, not chosen"),
    ("refused", "refused"),
    ("dropped", "dropped early"),
    ("original", "original"),
    ("baseline", "transformers"),
)


def render_report(result: Mapping[str, Any]) -> str:
    """Give the report as one HTML page that loads nothing from anywhere.

    Args:
        result: what `compress --json` gives; fields that are absent leave their part out.

    Returns:
        The page, UTF-8 text, ready to be written to `report.html`.
    """
    floors = list(result.get("floors") or ())
    views = [read_floor(floor) for floor in floors]
    keys = metrics_to_draw(views)
    verdict = str(result.get("verdict", "unproven"))
    parts = {
        "title": join("thinfer: ", str(result.get("bundle", ""))),
        "bundle": join(str(result.get("bundle", ""))),
        "version": join(str(result.get("version") or "")),
        "verdict": join(verdict),
        "headline": join(_HEADLINES.get(verdict, verdict)),
        "summary": join(_summary(result, views, floors)),
        "plain": _section("plain", "In plain words", "", show_plainly(say_plainly(result))),
        "cards": show_cards(result),
        "warnings": show_warnings(result.get("warnings") or ()),
        "sections": join(*_sections(result, floors, views, keys)),
    }
    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    return string.Template(template).substitute(parts)


def _sections(
    result: Mapping[str, Any],
    floors: Sequence[Mapping[str, Any]],
    views: Sequence[FloorView],
    keys: Sequence[MetricKey],
) -> list[Html]:
    factors = result.get("factors") or ()
    command = str(result.get("command") or "")
    return [
        _section("floors", "The floors", _FLOORS_NOTE, show_floors(floors, views)),
        _section("classes", "Each class", CLASSES_NOTE, show_classes(result.get("classes") or ())),
        _section("operating", "Thresholds", OPERATING_NOTE, show_operating(result)),
        _section(
            "calibration",
            "How sure the models are",
            CALIBRATION_NOTE,
            show_calibration(result.get("calibration") or {}),
        ),
        _section(
            "disagreements",
            "Answered differently",
            DISAGREEMENTS_NOTE,
            show_disagreements(result.get("disagreements") or {}),
        ),
        _section(
            "front-section",
            "Quality against speed",
            _FRONT_NOTE + (_EARLY_NOTE if _has_early(result) else ""),
            _front(result, keys, views),
        ),
        _section(
            "candidates-section", "Every candidate", _TABLE_NOTE, show_candidates(result, keys[:2])
        ),
        _section(
            "factors-section",
            "Where the speed comes from",
            _FACTORS_NOTE,
            draw_factors(factors, result.get("speedup")) if factors else Html(""),
        ),
        _section("changes", "What was changed", "", show_changes(result)),
        _section("sparsity", "Zeros inside the matrices", SPARSITY_NOTE, show_sparsity(result)),
        _section("beside", "Side by side", _BESIDE_NOTE, show_side_by_side(result)),
        _section("again", "Do it again", "", _command(command) if command else Html("")),
        _section("facts", "Data and machine", "", show_facts(result)),
    ]


_FLOORS_NOTE = (
    "Judged on test rows that took no part in the choice. The dot is what was measured, the bar "
    "its interval, the line the floor; the shaded side is what the floor forbids."
)
_FRONT_NOTE = (
    "Up is better, right is faster. Measured on dev, which chooses; test only judges the one "
    "that was chosen. What a floor asks about is estimated: right answers are counted, and weighed "
    "with how sure the original was of the answers that changed. A triangle on the edge lies "
    "further out than the drawing. The arrow keys go from point to point."
)
_EARLY_NOTE = (
    " Small points were dropped early: they answered some rows of dev only, and their speed is "
    "predicted from the prices of their widths."
)
_TABLE_NOTE = "A heading sorts the table."
_FACTORS_NOTE = "Each bar starts where the last one ended; the scale is logarithmic."
_BESIDE_NOTE = (
    "The same test rows and, where measured, the same machine and threads. The linear model and "
    "the TextCNN are there to be honest: where one is good enough, use it."
)


def _section(name: str, title: str, note: str, body: Html) -> Html:
    if not body:
        return body
    words = element("p", {"class": "note"}, note) if note else ""
    return element("section", {"id": name}, element("h2", {}, title), words, body)


def _summary(
    result: Mapping[str, Any], views: Sequence[FloorView], floors: Sequence[Mapping[str, Any]]
) -> str:
    chosen = result.get("chosen")
    if not chosen:
        return "No candidate could be kept; the table says why each one was refused."
    said = []
    if result.get("speedup"):
        said.append(f"answers {show_ratio(result['speedup'])[:-1]} times as many texts a second")
    old, new = result["original"].get("size_bytes"), chosen.get("size_bytes")
    if old and new:
        said.append(f"needs {show_bytes(new)} instead of {show_bytes(old)}")
    kept = next((v for v in views if v.relative and v.above and v.value is not None), None)
    if kept is not None:
        said.append(f"keeps {show_percent(kept.value)} of the original's {kept.key.title}")
    sentences = [f"The chosen model {_enumerate(said)}."] if said else []
    if chosen.get("refused"):
        sentences.append(f"It is only the best so far: {chosen['refused']}.")
    weak = [view.expr for view in views if view.verdict == "broken"]
    if weak:
        sentences.append(f"Broken: {', '.join(weak)}. Do not put it into service as it is.")
    rows = [int(f["rows_needed"]) for f in floors if f.get("rows_needed")]
    if not weak and rows and result.get("verdict") == "unproven":
        sentences.append(
            f"The test set is too small to prove every floor; about {max(rows):,} rows would do."
        )
    if result.get("seconds"):
        sentences.append(f"Found in {show_seconds(result['seconds'])}.")
    return " ".join(sentences)


def _enumerate(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _front(
    result: Mapping[str, Any], keys: Sequence[MetricKey], views: Sequence[FloorView]
) -> Html:
    drawn = [(key, read_points(result, key)) for key in keys]
    drawn = [(key, points) for key, points in drawn if points][:8]
    floors = {view.key: view for view in views}
    radios = [
        element(
            "input",
            {"type": "radio", "name": "metric", "id": f"metric-{count}", "checked": count == 1},
        )
        for count in range(1, len(drawn) + 1)
    ]
    tabs = [
        element("label", {"for": f"metric-{count}"}, key.title)
        for count, (key, _) in enumerate(drawn, start=1)
    ]
    panels = [
        element("div", {"class": "panel"}, draw_front(points, key, floors.get(key)))
        for key, points in drawn
    ]
    shown = {point.kind for _, points in drawn for point in points}
    legend = [
        element("span", {}, element("i", {"class": f"swatch {kind}"}), text)
        for kind, text in _LEGEND
        if kind in shown
    ]
    return join(
        element(
            "div",
            {"class": "panels"},
            *radios,
            element("div", {"class": "tabs"}, *tabs),
            *panels,
        ),
        element("div", {"class": "legend"}, *legend),
        _unmeasured(result),
        element("div", {"id": "tip", "role": "status", "hidden": True}),
    )


def _has_early(result: Mapping[str, Any]) -> bool:
    return any(kind_of(row, None) == "dropped" for row in result.get("candidates", ()))


def _unmeasured(result: Mapping[str, Any]) -> Html:
    rows = [
        element("li", {}, element("b", {}, str(row.get("name", ""))), " ", str(row["refused"]))
        for row in result.get("candidates", ())
        if row.get("refused") and not row.get("speedup") and row.get("rung") is None
    ]
    if not rows:
        return Html("")
    title = element("h3", {}, "Refused before it was timed")
    return element("div", {"class": "unmeasured"}, title, element("ul", {}, *rows))


def _command(command: str) -> Html:
    button = element("button", {"type": "button", "data-copy": "command"}, "Copy")
    return element("div", {"class": "command"}, element("pre", {"id": "command"}, command), button)
