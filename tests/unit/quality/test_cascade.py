"""The policy file: what it says, what it refuses, and the score it rests on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.cascades import make_policy
from thinfer.core.codec import from_json, to_json
from thinfer.errors import DataError
from thinfer.quality.cascade import CascadePolicy, score_confidence


def test_the_score_is_the_probability_of_the_best_class() -> None:
    logits = np.asarray([[0.0, 0.0], [2.0, 0.0], [0.0, 40.0]], dtype=np.float32)
    assert score_confidence(logits, 1.0) == pytest.approx([0.5, 1 / (1 + np.exp(-2)), 1.0])
    assert score_confidence(logits, 2.0)[1] == pytest.approx(1 / (1 + np.exp(-1)))


def test_the_score_of_what_is_not_finite_goes_on() -> None:
    logits = np.asarray([[np.nan, 0.0], [np.inf, np.inf], [5.0, 0.0]], dtype=np.float32)
    assert make_policy(threshold=0.6).goes_on(logits).tolist() == [True, True, False]


def test_a_policy_comes_back_as_it_was_written(tmp_path: Path) -> None:
    policy = make_policy(threshold=0.75)
    policy.write(tmp_path / "deep" / "cascade.json")
    body = json.loads((tmp_path / "deep" / "cascade.json").read_text(encoding="utf-8"))
    assert (body["kind"], body["version"]) == ("thinfer.cascade", 1)
    assert CascadePolicy.read(tmp_path / "deep" / "cascade.json") == policy
    assert from_json(CascadePolicy, to_json(policy)) == policy


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 1.5},
        {"threshold": float("nan")},
        {"temperature": 0.0},
        {"labels": ("a",)},
        {"labels": ("a", "a")},
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match="contradicts"):
        replace(make_policy(), **change)  # type: ignore[arg-type]  # the wrong values are the point


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("{}", "kind"),
        ('{"kind": "thinfer.cascade", "version": 2}', "kind"),
        ('{"kind": "thinfer.cascade", "version": 1}', "missing"),
        ('{"a":"' + "x" * (1 << 20) + '"}', "an object"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "cascade.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=told) as caught:
        CascadePolicy.read(tmp_path / "cascade.json")
    assert "cascade.json" in str(caught.value)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        CascadePolicy.read(tmp_path / "cascade.json")


def test_the_policy_of_another_bundle_is_refused() -> None:
    policy = make_policy()
    policy.check_small(policy.small.version)
    policy.check_big(policy.big.version)
    with pytest.raises(DataError, match="another small model"):
        policy.check_small(policy.big.version)
    with pytest.raises(DataError, match="another big model"):
        policy.check_big(policy.small.version)
