from __future__ import annotations

import json

import numpy as np
import pytest

from tests.support.small_task import FLOORS, small_run
from thinfer.pipeline.per_class import describe_calibration, describe_classes
from thinfer.quality import LabelSet, parse_floor
from thinfer.text.corpus import read_corpus

LABELS = LabelSet(("normal", "spam"), normal="normal")


def test_classes_are_json_and_name_both_models() -> None:
    truth = np.array([0, 0, 1, 1])
    found = describe_classes(
        truth=truth,
        original=truth,
        chosen=np.array([0, 0, 1, 0]),
        labels=LABELS,
        floors=[parse_floor("accuracy>=99%", LABELS)],
        slices={"source=a": truth == 1},
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [(line["slice"], line["label"]) for line in found[:4]] == [
        (None, None),
        (None, "flagged"),
        (None, "normal"),
        (None, "spam"),
    ]
    spam = found[-1]
    assert spam["slice"] == "source=a"
    assert (spam["trials"], spam["losses"], spam["retention"]) == (2, 1, 0.5)
    assert (spam["original"]["recall"], spam["chosen"]["recall"]) == (1.0, 0.5)


def test_calibration_of_sets_of_labels_is_of_each_label() -> None:
    logits = np.array([[2.0, -2.0], [-2.0, 2.0], [2.0, 2.0], [-2.0, -2.0]], dtype=np.float32)
    found = describe_calibration(
        logits,
        np.array([0b01, 0b10, 0b11, 0b00]),
        labels=LabelSet(LABELS.names, is_multi_label=True),
    )
    assert found is not None
    assert [item["label"] for item in found["labels"]] == ["normal", "spam"]
    low = float(np.log1p(np.exp(-2.0)))
    assert found["nll"] == pytest.approx(low)
    assert found["ece"] == found["labels"][0]["ece"]
    plain = describe_calibration(logits, np.array([0, 1, 1, 0]), labels=LABELS)
    assert plain is not None
    assert plain["labels"] == []


def test_a_model_without_finite_scores_has_no_calibration() -> None:
    logits = np.array([[np.nan, 0.0], [np.inf, 0.0]], dtype=np.float32)
    assert describe_calibration(logits, np.array([0, 1]), labels=LABELS) is None


def test_a_run_tells_of_its_classes_and_how_sure_both_models_are() -> None:
    result = small_run().result
    truth = read_corpus(small_run().out.parent.parent / "test.csv").labels or ()
    lines = {line["label"]: line for line in result["classes"]}
    assert lines[None]["rows"] == result["data"]["test"] <= len(truth)
    assert lines[None]["metric"] == "accuracy"
    assert lines[None]["is_promised"]
    floor = next(item for item in result["floors"] if item["expr"] == FLOORS[0])
    for field in ("trials", "losses", "gains", "verdict", "rows_needed"):
        assert lines[None][field] == floor[field]
    for name, recall in result["chosen"]["metrics"]["recall"].items():
        assert lines[name]["chosen"]["recall"] == pytest.approx(recall)
    for side in ("original", "chosen"):
        assert 0.0 <= result["calibration"][side]["ece"] <= 1.0
        assert result["calibration"][side]["rows"] == result["data"]["test"]
