"""What judged answers say beyond the floors: by class and slice, by confidence, by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.disagreements import describe_disagreements
from thinfer.pipeline.evidence import EvidenceFile
from thinfer.pipeline.per_class import describe_calibration, describe_classes
from thinfer.quality.floor import Floor
from thinfer.quality.subject import Columns

__all__ = ["describe_answers", "list_slices"]

_MOST_VALUES = 20  # of a column; a column of free text would make a line of every row


def describe_answers(
    evidence: EvidenceFile,
    part: LabelledSet,
    *,
    floors: Sequence[Floor],
    include_text: bool = False,
) -> dict[str, Any]:
    """Give `classes`, `calibration` and `disagreements` of a result.

    Args:
        evidence: the judged rows.
        part: the same rows of the test file.
        floors: of the run.
        include_text: whether the first 200 characters of a text may stand beside its number.
    """
    deciders = evidence.deciders
    logits = (evidence.original_logits, evidence.chosen_logits)
    calibration = [
        describe_calibration(decider.adjust(found), evidence.truth, labels=evidence.labels)
        for decider, found in zip(deciders, logits, strict=True)
    ]
    return {
        "classes": describe_classes(
            truth=evidence.truth,
            original=evidence.original,
            chosen=evidence.chosen,
            labels=evidence.labels,
            floors=floors,
            slices=list_slices(evidence.columns, floors),
        ),
        "calibration": dict(zip(("original", "chosen"), calibration, strict=True)),
        "disagreements": describe_disagreements(
            part,
            logits,
            (evidence.original, evidence.chosen),
            deciders=deciders,
            include_text=include_text,
        ),
    }


def list_slices(columns: Columns, floors: Sequence[Floor]) -> dict[str, NDArray[np.bool_]]:
    """Give the slices of a test set: every value of every column, the commonest 20 of each.

    Args:
        columns: column → its value in each row.
        floors: slices that they name are there whatever their size.

    Returns:
        `column=value` → bool `[rows]`.
    """
    named = {floor.slice for floor in floors if floor.slice is not None}
    found = {}
    for column, values in columns.items():
        common = [value for value, _ in Counter(values).most_common(_MOST_VALUES)]
        asked = [value for name, value in sorted(named) if name == column]
        for value in dict.fromkeys([*asked, *common]):
            found[f"{column}={value}"] = np.asarray([each == value for each in values])
    return found
