"""`Classifier` answers as `transformers.pipeline("text-classification")` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.support.pipeline_models import pack_model, save_bert  # noqa: E402

TEXTS = ["spam", "", "你好, 广告!", "a longer text?", "unknown ☂", "spam", "w " * 200]
PAIRS: list[Any] = [
    {"text": "spam", "text_pair": "ham"},
    {"text": "alone"},
    {"text": "信息", "text_pair": ""},
    "plain",
]


def check_equal(ours: object, theirs: object) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, list) and isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            check_equal(one, other)
    else:
        assert isinstance(ours, dict)
        assert isinstance(theirs, dict)
        assert list(ours) == list(theirs) == ["label", "score"]
        assert ours["label"] == theirs["label"]
        assert type(ours["score"]) is type(theirs["score"]) is float
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)


@pytest.mark.parametrize(
    ("labels", "problem_type"),
    [
        (("normal", "spam", "广告"), None),
        (("normal", "spam", "广告"), "multi_label_classification"),
        (("only",), None),
    ],
)
def test_the_answers_are_those_of_the_pipeline(
    tmp_path: Path, labels: tuple[str, ...], problem_type: str | None
) -> None:
    save_bert(tmp_path / "model", labels=labels, problem_type=problem_type)
    with pack_model(tmp_path / "model", tmp_path / "bundle") as ours:
        theirs = transformers.pipeline(
            "text-classification", model=str(tmp_path / "model"), device="cpu"
        )
        cut = {"truncation": True}
        for options in ({}, {"top_k": 1}, {"top_k": 2}, {"top_k": None}):
            for inputs in (TEXTS, TEXTS[0], TEXTS[6], PAIRS, PAIRS[0], [TEXTS[0]]):
                check_equal(ours(inputs, **options), theirs(inputs, **cut, **options))
        check_equal(
            ours("spam", top_k=None, function_to_apply="none"),
            theirs("spam", top_k=None, function_to_apply="none"),
        )
