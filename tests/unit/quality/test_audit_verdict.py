from __future__ import annotations

import numpy as np
import pytest

from thinfer.core.codec import from_json, to_json
from thinfer.quality import LabelSet, judge, parse_floor
from thinfer.quality.audit import AuditCounts, Stratum
from thinfer.quality.audit_verdict import (
    AuditVerdict,
    Precision,
    judge_labelled,
    judge_unlabelled,
    take_verdict,
)
from thinfer.quality.intervals import clopper_pearson_lower, clopper_pearson_upper
from thinfer.quality.stakes import Populations

LABELS = LabelSet(("normal", "spam"), "normal")
FLOOR = parse_floor("flagged_recall>=99%", LABELS)


def populations(may_lose: int, agreed: int, rows: int = 20_000) -> Populations:
    return Populations(rows=rows, changed=may_lose, may_lose=may_lose, may_gain=0, agreed=agreed)


def counts(
    lost: int, kept: int, *, of: int = 20, agreed: int = 3000, missing: int = 0
) -> AuditCounts:
    return AuditCounts(
        lost=Stratum(population=of, asked=of, missing=missing, found=lost),
        gained=Stratum(population=0, asked=0, missing=0, found=0),
        kept=Stratum(population=agreed, asked=agreed, missing=0, found=kept),
        missing=missing,
    )


@pytest.mark.parametrize(
    ("lost", "kept", "verdict"), [(0, 2000, "holds"), (15, 2000, "unproven"), (20, 1500, "broken")]
)
def test_verdicts_by_labels(lost: int, kept: int, verdict: str) -> None:
    found = judge_labelled(FLOOR, counts(lost, kept), populations(20, 3000))
    assert found.verdict == verdict
    assert found.basis == "labels"
    assert found.retention == pytest.approx(1 - lost / (lost + kept))
    assert (found.losses, found.gains, found.trials) == (lost, 0, lost + kept)
    assert (found.rows_needed is not None) == (verdict == "unproven")
    assert "99.00%" in found.reason


def test_rows_needed_would_do_and_a_tenth_less_would_not() -> None:
    known = counts(15, 2000)
    found = judge_labelled(FLOOR, known, populations(20, 3000))
    needed = found.rows_needed
    assert needed is not None
    assert found.labels_needed == pytest.approx(3020 * needed / 20_000, abs=2)
    assert known.scaled(needed / 20_000).retention_low() >= 0.99
    assert known.scaled(needed * 0.9 / 20_000).retention_low() < 0.99


def test_missing_labels_prove_only_what_no_label_could_undo() -> None:
    few = judge_labelled(FLOOR, counts(0, 2000, missing=2), populations(20, 3000))
    assert (few.verdict, few.retention, few.missing) == ("holds", None, 2)
    many = judge_labelled(FLOOR, counts(0, 2000, missing=20), populations(20, 3000))
    assert (many.verdict, many.rows_needed) == ("unproven", None)
    assert "20 labels are missing" in many.reason
    sure = judge_labelled(FLOOR, counts(60, 2000, of=80, missing=20), populations(80, 3000))
    assert sure.verdict == "broken"  # at best 60 of 2,060 are lost


def test_nothing_flagged_rightly_is_unproven() -> None:
    found = judge_labelled(FLOOR, counts(0, 0), populations(20, 3000))
    assert (found.verdict, found.retention) == ("unproven", None)
    assert "no row" in found.reason


def test_the_bound_without_labels_is_loss_over_precision() -> None:
    known = Precision.of_counts(800, 1000, "test")
    assert known is not None
    assert known.lower == clopper_pearson_lower(800, 1000, 0.975)
    found = judge_unlabelled(FLOOR, populations(10, 4000), known)
    low = 1 - clopper_pearson_upper(10, 4010, 0.975) / known.lower
    assert found.interval == (low, None)
    assert (found.verdict, found.basis) == ("holds", "bound")
    assert "were every change a loss" in found.reason


def test_without_labels_nothing_is_broken_and_it_says_how_many_losses_are_allowed() -> None:
    known = Precision(lower=0.8, source="given")
    found = judge_unlabelled(FLOOR, populations(400, 4000), known)
    assert (found.verdict, found.rows_needed) == ("unproven", None)
    allowed = found.losses_allowed
    assert allowed is not None
    trials = int(0.8 * 4400)
    assert clopper_pearson_upper(allowed, trials, 0.975) <= 0.01
    if allowed + 1 < 20:
        assert clopper_pearson_upper(allowed + 1, trials, 0.975) > 0.01


def test_too_little_traffic_says_how_much_would_do() -> None:
    known = Precision(lower=0.5, source="given")
    found = judge_unlabelled(FLOOR, populations(1, 99, rows=1000), known)
    assert (found.verdict, found.losses_allowed) == ("unproven", None)
    assert found.rows_needed is not None
    flagged = found.rows_needed * 100 / 1000
    assert clopper_pearson_upper(0, flagged * 0.5, 0.975) <= 0.01
    assert clopper_pearson_upper(0, flagged * 0.5 * 0.95, 0.975) > 0.01


def test_without_a_precision_or_a_flag_nothing_is_bounded() -> None:
    found = judge_unlabelled(FLOOR, populations(10, 4000), None)
    assert (found.verdict, found.interval, found.basis) == ("unproven", (None, None), "answers")
    empty = judge_unlabelled(FLOOR, populations(0, 0), Precision(lower=0.5, source="given"))
    assert (empty.verdict, empty.interval) == ("unproven", (None, None))
    assert Precision.of_counts(0, 10, "test") is None


def test_a_floor_that_needs_no_labels_keeps_its_verdict() -> None:
    first = np.asarray([1] * 900 + [0] * 9100)
    second = np.asarray([1] * 910 + [0] * 9090)
    floor = parse_floor("flag_rate<=105%", LABELS)
    verdict = judge(
        floor, truth=first, original=first, candidate=second, labels=LABELS,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    found = take_verdict(verdict, floor, populations(0, 900, rows=10_000))
    assert (found.verdict, found.basis) == ("holds", "answers")
    assert found.retention == pytest.approx(910 / 900)
    assert found.interval[1] is not None
    assert 910 / 900 < found.interval[1] <= 1.05


def test_a_verdict_survives_json() -> None:
    found = judge_unlabelled(FLOOR, populations(10, 4000), Precision(lower=0.8, source="given"))
    assert from_json(AuditVerdict, to_json(found)) == found
