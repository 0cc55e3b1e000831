"""At which scores the models answer: thresholds, and how the new model's were fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinfer.pipeline.report.markup import Html, draw_table, element, join, make_row
from thinfer.pipeline.report.wording import NONE

__all__ = ["OPERATING_NOTE", "show_operating"]

OPERATING_NOTE = (
    "From which score on a label is answered. The new model's scores were calibrated to the "
    "original's on dev, and its thresholds set where it raises no more false alarms there; the "
    "bundle stores them, and everything that answers obeys them."
)


def show_operating(result: Mapping[str, Any]) -> Html:
    """Give the thresholds of both models, label by label.

    Args:
        result: what `compress --json` gives.

    Returns:
        The table; nothing where no label has a threshold and nothing was calibrated.
    """
    sides = [(result.get(side) or {}).get("operating") for side in ("original", "chosen")]
    before, after = sides
    if before is None or after is None:
        return Html("")
    pairs = list(zip(before["labels"], after["labels"], strict=True))
    is_moved = after["temperature"] != 1.0 or any(item["offset"] for _, item in pairs)
    if not is_moved and not any(item["threshold"] is not None for _, item in pairs):
        return Html("")
    heads = ("label", "original answers from", "new model answers from", "added to its logit")
    rows = [
        make_row((old["label"], _score(old), _score(new), f"{new['offset']:+.3f}"))
        for old, new in pairs
    ]
    said = f"Each label has a score of its own ({after['activation']})."
    if after["activation"] == "softmax":
        said = "The scores of all labels add up to 1 (softmax)."
    said += f" The new model's logits are divided by {after['temperature']:.3f}."
    if after["priority"]:
        said += f" Of several labels that are reached, first: {', '.join(after['priority'])}."
    return join(element("p", {"class": "tally"}, said), draw_table(heads, rows))


def _score(item: Mapping[str, Any]) -> str:
    return NONE if item["threshold"] is None else f"{item['threshold']:.4f}"
