"""Rows that the two models answer differently: how many, and the most telling by row number."""

from __future__ import annotations

from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.pipeline.data import LabelledSet
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import Decider

__all__ = ["describe_disagreements"]

Answers = NDArray[np.int64]
Logits = NDArray[np.float32]

# What was lost is what a reader fears; room that one kind leaves goes to the others in this order.
_ROOM = {"loss": 24, "gain": 10, "other": 6}
_MOST_CHARACTERS = 200


def describe_disagreements(
    part: LabelledSet,
    logits: tuple[Logits, Logits],
    answers: tuple[Answers, Answers],
    *,
    deciders: tuple[Decider, Decider],
    include_text: bool = False,
) -> dict[str, Any]:
    """Give `disagreements` of the result.

    Args:
        part: the judged rows.
        logits: float32 `[rows, classes]` of the original and of the chosen form.
        answers: int64 `[rows]` likewise.
        deciders: how the logits of each are read.
        include_text: whether the first 200 characters of the text may stand beside its number.

    Returns:
        `rows`, `total`, `losses` (only the original was right), `gains` (only the chosen form was),
        `others` (neither), and `examples[]`, 40 at most: losses first, and of one kind those first
        where the chosen form is surest of its new answer; no text unless it was asked for.
    """
    before, after = answers
    labels = deciders[0].labels
    scores = tuple(_score(*each) for each in zip(deciders, logits, strict=True))
    was, now = before == part.truth, after == part.truth
    changed = before != after
    kinds = {"loss": changed & was, "gain": changed & now, "other": changed & ~was & ~now}
    shown = _choose_rows(kinds, scores[1])
    examples = []
    for kind, place in shown:
        example: dict[str, Any] = {
            "row": int(part.corpus.rows[place]),
            "kind": kind,
            "truth": _name(labels, part.truth[place]),
            "original": _name(labels, before[place]),
            "original_score": float(scores[0][place]),
            "chosen": _name(labels, after[place]),
            "chosen_score": float(scores[1][place]),
        }
        if include_text:
            example["text"] = part.corpus.texts[place][:_MOST_CHARACTERS]
        examples.append(example)
    return {
        "rows": len(part),
        "total": int(changed.sum()),
        "losses": int(kinds["loss"].sum()),
        "gains": int(kinds["gain"].sum()),
        "others": int(kinds["other"].sum()),
        "examples": examples,
    }


def _choose_rows(
    kinds: dict[str, NDArray[np.bool_]], sure: NDArray[np.float64]
) -> list[tuple[str, int]]:
    ranked = {}
    for kind, rows in kinds.items():
        places = np.flatnonzero(rows)
        ranked[kind] = places[np.argsort(-sure[places], kind="stable")].tolist()
    room = {kind: min(most, len(ranked[kind])) for kind, most in _ROOM.items()}
    for kind, places in ranked.items():
        room[kind] += min(len(places) - room[kind], sum(_ROOM.values()) - sum(room.values()))
    return [(kind, place) for kind, places in ranked.items() for place in places[: room[kind]]]


def _score(decider: Decider, logits: Logits) -> NDArray[np.float64]:
    """Give the score of the label that leads, float64 `[rows]`; 0 where a logit is not finite."""
    with np.errstate(invalid="ignore"):
        scores = np.nan_to_num(decider.scores(logits), nan=0.0)
    lead = decider.lead(scores)
    return np.take_along_axis(scores, lead[:, None], axis=1)[:, 0].astype(np.float64)


def _name(labels: LabelSet, answer: np.int64) -> str:
    held = labels.members(np.asarray([answer]))[0].tolist()
    return ", ".join(compress(labels.names, held)) or "(none)"
