"""The proof: floors one by one, and the same figures from the same rows whatever stands beside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thinfer.quality.floor import parse_floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.proof import judge_floors, prove
from thinfer.quality.verdict import judge

LABELS = LabelSet(("normal", "spam"), normal="normal")
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 2, size=400)
ORIGINAL = np.where(RNG.random(400) < 0.9, TRUTH, 1 - TRUTH)
CHOSEN = np.where(RNG.random(400) < 0.99, ORIGINAL, 1 - ORIGINAL)
ROWS: dict[str, Any] = {"truth": TRUTH, "original": ORIGINAL, "candidate": CHOSEN}


def test_each_floor_is_judged_as_if_it_stood_alone() -> None:
    floors = [
        parse_floor(expr, LABELS) for expr in ("macro_f1>=90%", "recall>=0.5", "accuracy>=9%")
    ]
    together = judge_floors(floors, **ROWS, labels=LABELS, seed=3)
    for floor, verdict in zip(floors, together, strict=True):
        alone = judge(floor, **ROWS, labels=LABELS, rng=np.random.default_rng(3))
        assert verdict == alone
    backwards = judge_floors(floors[::-1], **ROWS, labels=LABELS, seed=3)
    assert backwards == together[::-1]


def test_a_proof_has_the_figures_of_both_and_the_worst_verdict() -> None:
    floors = [parse_floor(expr, LABELS) for expr in ("accuracy>=1%", "accuracy>=0.999")]
    proof = prove(floors, **ROWS, labels=LABELS, seed=0)
    assert [verdict.verdict for verdict in proof.floors] == ["holds", "broken"]
    assert proof.verdict == "broken"
    assert proof.original.accuracy == pytest.approx((ORIGINAL == TRUTH).mean())
    assert proof.chosen.accuracy == pytest.approx((CHOSEN == TRUTH).mean())


def test_no_floor_is_nothing_proven() -> None:
    assert prove([], **ROWS, labels=LABELS, seed=0).verdict == "unproven"
