from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.pipeline.test_audit_folder import FACTS
from thinfer.core.codec import to_json
from thinfer.pipeline.audit_key import judge_key, make_key
from thinfer.quality import LabelSet, judge, parse_floor
from thinfer.quality.audit_verdict import judge_unlabelled
from thinfer.quality.stakes import Populations, draw_rows, find_stakes

LABELS = LabelSet(FACTS.labels, FACTS.normal_label)
RNG = np.random.default_rng(4)
TRUTH, ORIGINAL = RNG.integers(0, 2, 400), RNG.integers(0, 2, 400)
CANDIDATE = np.where(RNG.random(400) < 0.05, 1 - ORIGINAL, ORIGINAL)


@pytest.mark.parametrize("expr", ["flagged_recall>=90%", "accuracy>=90%", "recall[spam]>=90%"])
def test_with_all_labels_the_verdict_is_that_of_the_paired_judgement(expr: str) -> None:
    floor = parse_floor(expr, LABELS)
    stakes = find_stakes(floor, ORIGINAL, CANDIDATE, LABELS)
    draw = draw_rows([stakes], sample=400, most=None, rng=np.random.default_rng(0))
    known = judge_unlabelled(floor, Populations.count(stakes), None)
    answers = np.stack([ORIGINAL, CANDIDATE])
    key = json.loads(json.dumps(to_json(make_key(FACTS, answers, draw, [known]))))
    (found,) = judge_key(key, [floor], TRUTH[draw.rows], LABELS)
    rows = {"truth": TRUTH, "original": ORIGINAL, "candidate": CANDIDATE}
    whole = judge(floor, **rows, labels=LABELS, rng=np.random.default_rng(0))
    assert found.verdict == whole.verdict
    assert (found.losses, found.gains, found.trials) == (whole.losses, whole.gains, whole.trials)
    assert found.interval[0] == pytest.approx(whole.interval[0] / whole.original)
    assert found.interval[1] == pytest.approx(whole.interval[1] / whole.original)


def test_ids_are_those_of_one_audit_and_tell_no_row() -> None:
    floor = parse_floor("accuracy>=90%", LABELS)
    stakes = find_stakes(floor, ORIGINAL, CANDIDATE, LABELS)
    draw = draw_rows([stakes], sample=400, most=None, rng=np.random.default_rng(0))
    answers = np.stack([ORIGINAL, CANDIDATE])
    ids = []
    for seed in (0, 1):
        key = make_key(replace(FACTS, seed=seed), answers, draw, [])
        ids.append({row["id"] for row in key["rows"]})
        assert len(ids[-1]) == 400
    assert not ids[0] & ids[1]
