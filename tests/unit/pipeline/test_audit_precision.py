from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from thinfer.errors import UserError
from thinfer.pipeline.audit_models import AuditModel
from thinfer.pipeline.audit_precision import find_precisions
from thinfer.quality import LabelSet, parse_floor
from thinfer.quality.audit_verdict import Precision
from thinfer.quality.intervals import clopper_pearson_lower

LABELS = LabelSet(("normal", "spam"), "normal")
FLAGGED, ACCURACY, RATE = (
    parse_floor(expr, LABELS)
    for expr in ("flagged_recall>=99%", "accuracy>=99%", "flag_rate<=105%")
)
QUALITY = {
    "n": 1000,
    "verdicts": [
        {"metric": "flagged_recall", "trials": 160},
        {"metric": "flag_rate", "trials": 200},
        {"metric": "accuracy", "trials": 900},
    ],
}


def flags_long_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> NDArray[np.int64]:
    del pairs
    return np.asarray([len(text) > 3 for text in texts], dtype=np.int64)


MODEL = AuditModel(
    labels=LABELS.names, normal_label=None, digest="", quality={}, answer=flags_long_texts
)


def find(quality: dict[str, Any], **options: Any) -> list[Precision | None]:  # noqa: ANN401 - options
    words = {"given": None, "test": None, "columns": (None, None), **options}
    floors = words.pop("floors", (FLAGGED, ACCURACY, RATE))
    return find_precisions(floors, labels=LABELS, original=MODEL, quality=quality, **words)


def test_the_manifest_counts_what_was_flagged_rightly_and_what_was_flagged() -> None:
    flagged, accuracy, rate = find(QUALITY)
    assert flagged is not None
    assert (flagged.found, flagged.rows, flagged.source) == (160, 200, "manifest")
    assert flagged.lower == clopper_pearson_lower(160, 200, 0.975)
    assert accuracy is not None
    assert (accuracy.found, accuracy.rows) == (900, 1000)
    assert rate is None


@pytest.mark.parametrize(
    "quality",
    [{}, {"verdicts": [{"metric": "flagged_recall", "trials": 160}]}, {"n": 3, "verdicts": []}],
)
def test_a_manifest_that_does_not_say_gives_nothing(quality: dict[str, Any]) -> None:
    assert find(quality) == [None, None, None]


def test_what_was_given_wins_and_is_for_flagged_rows_only() -> None:
    flagged, accuracy, _ = find(QUALITY, given=0.7)
    assert flagged == Precision(lower=0.7, source="given")
    assert accuracy is not None
    assert accuracy.source == "manifest"
    with pytest.raises(UserError, match="flagged rows"):
        find(QUALITY, given=0.7, floors=(ACCURACY,))


def test_a_labelled_file_is_counted(tmp_path: Path) -> None:
    rows = ["long text,spam"] * 5 + ["long text,normal"] * 2 + ["abc,spam"] * 3
    path = tmp_path / "test.csv"
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    flagged, accuracy, rate = find(QUALITY, test=path)
    assert flagged is not None
    assert (flagged.found, flagged.rows, flagged.source) == (5, 7, "test")
    assert accuracy is not None
    assert (accuracy.found, accuracy.rows) == (5, 10)
    assert rate is None
