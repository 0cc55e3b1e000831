"""How sure the models are, and rows that they answer differently, by row number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thinfer.pipeline.report.markup import Html, draw_table, element, join, make_row
from thinfer.pipeline.report.wording import show_percent

__all__ = [
    "CALIBRATION_NOTE",
    "DISAGREEMENTS_NOTE",
    "show_calibration",
    "show_disagreements",
]

CALIBRATION_NOTE = (
    "Whether a model is right as often as its scores say, on test. The error is the mean distance "
    "between the two, in 15 groups of equally many rows; “by chance” is what a model that is "
    "calibrated exactly would show on so many rows. A temperature above 1 means that the scores "
    "are too sure, below 1 that they are not sure enough. The surprise is the mean negative "
    "logarithm of the score of the right answer."
)
DISAGREEMENTS_NOTE = (
    "Row numbers count the rows of the test file from 0, its header apart. What only the original "
    "had right comes first, and of that where the new model is surest of its answer. Scores are "
    "the models' own."
)
_KINDS = {"loss": ("lost", "refused"), "gain": ("gained", "applied"), "other": ("both wrong", "")}


def show_calibration(calibration: Mapping[str, Any]) -> Html:
    """Give the figures of both models side by side, and those of each label folded below.

    Args:
        calibration: `original` and `chosen` of the result; either may be absent.
    """
    sides = (("original", "original"), ("chosen", "new model"))
    rows = [(name, calibration[side]) for side, name in sides if calibration.get(side)]
    if not rows:
        return Html("")
    labels = [
        (f"{name}: {item['label']}", item) for name, figures in rows for item in figures["labels"]
    ]
    main = _figures("model", rows)
    if not labels:
        return main
    summary = element("summary", {}, "Each label by itself")
    return join(main, element("details", {"class": "early"}, summary, _figures("label", labels)))


def show_disagreements(found: Mapping[str, Any]) -> Html:
    """Give how many rows are answered differently, and the most telling of them.

    Args:
        found: `disagreements` of the result.
    """
    if not found:
        return Html("")
    examples = found["examples"]
    text = (
        f"{found['total']:,} of {found['rows']:,} test rows are answered differently: "
        f"{found['losses']:,} only the original has right, {found['gains']:,} only the new model, "
        f"{found['others']:,} neither."
    )
    if examples and len(examples) < found["total"]:
        text += f" The {len(examples)} most telling:"
    said = element("p", {"class": "tally"}, text)
    return join(said, _examples(examples)) if examples else said


def _figures(title: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Html:
    heads = (title, "calibration error", "by chance", "surprise (nats)", "temperature", "rows")
    body = [
        (
            name,
            show_percent(item["ece"]),
            show_percent(item["ece_by_chance"]),
            f"{item['nll']:.4f}",
            f"{item['temperature']:.2f}",
            f"{item['rows']:,}",
        )
        for name, item in rows
    ]
    return draw_table(heads, [make_row(row) for row in body])


def _examples(examples: Sequence[Mapping[str, Any]]) -> Html:
    has_text = any("text" in item for item in examples)
    heads = ["row", "", "truth", "original", "new model", *(["text"] if has_text else [])]
    rows = []
    for item in examples:
        words, style = _KINDS.get(item["kind"], (str(item["kind"]), ""))
        cells = [
            element("span", {"class": f"state {style}"}, words),
            str(item["truth"]),
            *(
                join(str(item[side]), " ", element("small", {}, f"{item[f'{side}_score']:.3f}"))
                for side in ("original", "chosen")
            ),
        ]
        if has_text:
            cells.append(str(item.get("text", "")))
        rows.append(make_row([str(item["row"]), *cells]))
    return draw_table(heads, rows, kind="examples")
