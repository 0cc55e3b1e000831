"""How often the original is right where it flags: given, measured, or read from the manifest.

Whatever the source, the bound on traffic rests on the precision not having fallen since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thinfer.errors import UserError
from thinfer.pipeline.audit_models import AuditModel
from thinfer.pipeline.data import label_corpus
from thinfer.quality.audit_verdict import Precision
from thinfer.quality.floor import Floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.stakes import count_right, needs_no_labels
from thinfer.text.corpus import read_corpus

__all__ = ["find_precisions"]

_CHUNK_ROWS = 1024


def find_precisions(
    floors: Sequence[Floor],
    *,
    labels: LabelSet,
    original: AuditModel,
    quality: Mapping[str, Any],
    given: float | None,
    test: Path | None,
    columns: tuple[str | None, str | None],
) -> list[Precision | None]:
    """Give the precision of the original's answers that each floor is about, where it is known.

    Args:
        floors: the demands.
        labels: the classes.
        original: the model.
        quality: of the bundle's manifest.
        given: a lower bound for flagged rows; it wins.
        test: a labelled file; the manifest is read where it is absent.
        columns: of the texts and of the labels in `test`.

    Raises:
        UserError: a bound was given and no floor is about flagged rows.
    """
    if given is not None and not any(floor.metric == "flagged_recall" for floor in floors):
        what = "--known-precision is that of flagged rows, and no floor is about them"
        raise UserError(what, do="measure it with --test, or ask for a floor on flagged_recall")
    if test is not None:
        return _measure(floors, labels, original, test, columns)
    return [_look_up(floor, quality, given) for floor in floors]


def _measure(
    floors: Sequence[Floor],
    labels: LabelSet,
    original: AuditModel,
    test: Path,
    columns: tuple[str | None, str | None],
) -> list[Precision | None]:
    corpus = read_corpus(test, text_column=columns[0], label_column=columns[1])
    truth = label_corpus(corpus, labels).truth
    answers = np.concatenate(
        [
            original.answer(
                corpus.texts[start : start + _CHUNK_ROWS],
                None if corpus.pairs is None else corpus.pairs[start : start + _CHUNK_ROWS],
            )
            for start in range(0, len(corpus), _CHUNK_ROWS)
        ]
    )
    return [
        None
        if needs_no_labels(floor)
        else Precision.of_counts(*count_right(floor, answers, truth, labels), "test")
        for floor in floors
    ]


def _look_up(floor: Floor, quality: Mapping[str, Any], given: float | None) -> Precision | None:
    """Read counts off the floors that were judged when the bundle was made.

    A judged `flagged_recall` counts the rows that the original flagged rightly, a judged
    `flag_rate` all that it flagged, a judged `accuracy` its right answers.
    """
    if floor.metric == "flagged_recall" and given is not None:
        return Precision(lower=given, source="given")
    judged = {item.get("metric"): item for item in quality.get("verdicts", ())}
    found, rows = None, None
    if floor.metric == "flagged_recall" and {"flagged_recall", "flag_rate"} <= set(judged):
        found, rows = judged["flagged_recall"].get("trials"), judged["flag_rate"].get("trials")
    elif floor.metric == "accuracy" and "accuracy" in judged:
        found, rows = judged["accuracy"].get("trials"), quality.get("n")
    if not isinstance(found, int) or not isinstance(rows, int) or not 0 < found <= rows:
        return None
    return Precision.of_counts(found, rows, "manifest")
