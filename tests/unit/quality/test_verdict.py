from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from thinfer.core.codec import from_json, to_json
from thinfer.errors import DataError
from thinfer.quality import LabelSet, Verdict, judge, margin_cleared, overall, parse_floor
from thinfer.quality.verdict import would_hold

LABELS = LabelSet(("normal", "spam", "abuse"), "normal")
Rows = dict[str, NDArray[np.int64]]


def make_rows(trials: int, losses: int, gains: int, both_wrong: int = 0) -> Rows:
    """Give rows of class `spam` with these paired counts; a wrong answer is `normal`."""
    total = trials + gains + both_wrong
    original, candidate = np.zeros(total, dtype=np.int64), np.zeros(total, dtype=np.int64)
    original[:trials] = 1
    candidate[losses : trials + gains] = 1
    return {
        "truth": np.ones(total, dtype=np.int64),
        "original": original,
        "candidate": candidate,
    }


def ask(expr: str, rows: Rows) -> Verdict:
    floor = parse_floor(expr, LABELS)
    return judge(floor, labels=LABELS, rng=np.random.default_rng(0), **rows)


@pytest.mark.parametrize(
    ("losses", "needed"), [(0, 598), (1, 947), (2, 1258), (5, 2100), (10, 3389)]
)
@pytest.mark.parametrize(
    "expr", ["accuracy>=99.5%", "recall[spam]>=99.5%", "flagged_recall>=99.5%"]
)
def test_rows_that_the_table_of_the_design_asks_for(losses: int, needed: int, expr: str) -> None:
    assert ask(expr, make_rows(needed, losses, 0)).verdict == "holds"
    assert ask(expr, make_rows(needed - 1, losses, 0)).verdict == "unproven"


def test_rows_needed_are_rows_of_the_whole_set() -> None:
    verdict = ask("accuracy>=99.5%", make_rows(300, 0, 0, both_wrong=100))
    assert verdict.verdict == "unproven"
    assert verdict.rows_needed == math.ceil(598 * 400 / 300)
    assert str(verdict.rows_needed) in verdict.reason


@pytest.mark.parametrize(
    ("trials", "losses", "gains"), [(200, 1, 0), (520, 4, 1), (2700, 30, 12), (1170, 9, 0)]
)
def test_the_rows_needed_do(trials: int, losses: int, gains: int) -> None:
    rows = make_rows(trials, losses, gains, both_wrong=50)
    verdict = ask("accuracy>=99%", rows)
    assert verdict.verdict == "unproven"
    assert verdict.rows_needed is not None
    times = math.ceil(verdict.rows_needed / len(rows["truth"]))
    larger = {name: np.tile(values, times) for name, values in rows.items()}
    assert ask(verdict.expr, larger).verdict == "holds"


def test_broken_below_and_unproven_exactly_at_the_floor() -> None:
    below = ask("accuracy>=99%", make_rows(1000, 11, 0))
    assert (below.verdict, below.rows_needed) == ("broken", None)
    at_floor = ask("accuracy>=99%", make_rows(1000, 10, 0))
    assert (at_floor.verdict, at_floor.rows_needed) == ("unproven", None)
    for percent, trials, losses in ((90, 10, 1), (99.5, 200, 1), (99.9, 3000, 3)):
        assert ask(f"accuracy>={percent}%", make_rows(trials, losses, 0)).verdict == "unproven"


def test_improvement_is_proven_by_the_formula() -> None:
    better = ask("accuracy>=100%", make_rows(1000, 10, 60))
    assert better.verdict == "holds"
    assert better.value > better.original
    assert ask("accuracy>=100%", make_rows(1000, 0, 0)).verdict == "unproven"
    assert ask("accuracy>=100%", make_rows(1000, 0, 0)).rows_needed is None
    soon = ask("accuracy>=100%", make_rows(1000, 2, 10))
    assert soon.verdict == "unproven"
    assert soon.rows_needed is not None


def test_interval_and_limit_are_on_the_scale_of_the_value() -> None:
    verdict = ask("accuracy>=99%", make_rows(900, 30, 28, both_wrong=72))
    assert verdict.original == pytest.approx(0.9)
    assert verdict.value == pytest.approx(0.898)
    assert verdict.limit == pytest.approx(0.891)
    assert verdict.interval[0] < verdict.value < verdict.interval[1]
    assert (verdict.interval[0] >= verdict.limit) == (verdict.verdict == "holds")
    assert (verdict.losses, verdict.gains, verdict.trials) == (30, 28, 900)


def test_absolute_rate_uses_the_exact_bound() -> None:
    assert ask("recall[spam]>=0.995", make_rows(598, 0, 0)).verdict == "holds"
    short = ask("recall[spam]>=0.995", make_rows(597, 0, 0))
    assert (short.verdict, short.rows_needed) == ("unproven", 598)
    assert ask("recall[spam]>=0.995", make_rows(100, 1, 0)).verdict == "broken"
    # What the original did plays no part.
    assert ask("recall[spam]>=0.9", make_rows(0, 0, 598)).verdict == "holds"


def test_flagged_recall_counts_any_flag_as_caught() -> None:
    rows = make_rows(700, 0, 0)
    rows["candidate"] = np.full(700, 2)  # all spam is called abuse
    assert ask("flagged_recall>=99.5%", rows).verdict == "holds"
    assert ask("recall[spam]>=99.5%", rows).verdict == "broken"


def test_flag_rate_is_a_ceiling() -> None:
    truth = np.zeros(4000, dtype=np.int64)
    original, candidate = truth.copy(), truth.copy()
    original[:1000] = 1
    candidate[:1010] = 1
    rows = {"truth": truth, "original": original, "candidate": candidate}
    good = ask("flag_rate<=105%", rows)
    assert good.verdict == "holds"
    assert good.limit == pytest.approx(0.25 * 1.05)
    candidate[:1045] = 2
    unsure = ask("flag_rate<=105%", rows)
    assert unsure.verdict == "unproven"
    assert unsure.rows_needed is not None
    assert unsure.rows_needed > 4000
    candidate[:1051] = 1
    assert ask("flag_rate<=105%", rows).verdict == "broken"
    assert ask("flag_rate<=0.3", rows).verdict == "holds"
    assert ask("flag_rate<=0.2", rows).verdict == "broken"


def test_agreement_is_with_the_original_not_the_truth() -> None:
    rows = make_rows(0, 0, 0, both_wrong=700)
    assert ask("agreement>=99.5%", rows).verdict == "holds"
    assert ask("accuracy>=99.5%", rows).verdict == "unproven"


def make_mixture(rows: int, changed: int) -> Rows:
    """Give three classes of which the candidate spoils `changed` rows of `abuse`."""
    truth = np.arange(rows, dtype=np.int64) % 3
    candidate = truth.copy()
    candidate[np.flatnonzero(truth == 2)[:changed]] = 1
    return {"truth": truth, "original": truth.copy(), "candidate": candidate}


@pytest.mark.parametrize(
    "expr", ["macro_f1>=99%", "recall>=99%", "precision[spam]>=99%", "macro_f1>=0.99"]
)
def test_resampled_metrics_have_three_verdicts(expr: str) -> None:
    assert ask(expr, make_mixture(9000, 6)).verdict == "holds"
    assert ask(expr, make_mixture(300, 40)).verdict == "broken"
    few = ask(expr, make_mixture(150, 0))
    assert few.verdict == "unproven", (
        "no loss on few rows proves little, though resampling sees none"
    )
    assert few.rows_needed is not None
    assert few.rows_needed > 150
    assert few.interval[0] < few.value


def test_resampling_is_never_narrower_than_the_paired_bound() -> None:
    verdict = ask("recall>=99%", make_mixture(150, 0))
    assert verdict.interval[0] <= 1 - 2.9 / 150


def test_precision_of_a_label_that_is_lost() -> None:
    rows = make_rows(500, 500, 0)
    assert ask("precision[spam]>=99%", rows).verdict == "broken"
    assert ask("precision[spam]>=0.99", rows).verdict == "unproven"
    found = ask("precision[spam]>=0.9", make_mixture(3000, 10))
    assert found.verdict == "holds"
    assert found.original == 1.0
    assert found.value == pytest.approx(1000 / 1010)


@pytest.mark.parametrize(
    "expr", ["recall[abuse]>=99%", "recall[abuse]>=0.9", "precision[abuse]>=99%"]
)
def test_a_metric_without_rows_is_unproven_with_the_reason(expr: str) -> None:
    verdict = ask(expr, make_rows(100, 0, 0))
    assert (verdict.verdict, verdict.rows_needed) == ("unproven", None)
    assert "no row" in verdict.reason


def test_an_original_at_zero_is_unproven_with_the_reason() -> None:
    verdict = ask("recall[spam]>=99%", make_rows(0, 0, 50))
    assert verdict.verdict == "unproven"
    assert "absolute floor" in verdict.reason


@pytest.mark.parametrize("length", [0, 3])
def test_rows_that_do_not_fit_are_refused(length: int) -> None:
    rows = make_rows(2, 0, 0)
    rows["truth"] = np.zeros(length, dtype=np.int64)
    with pytest.raises(DataError):
        ask("accuracy>=99%", rows)
    rows = make_rows(2, 0, 0)
    rows["candidate"] = np.asarray([0, 3])
    with pytest.raises(DataError):
        ask("accuracy>=99%", rows)


def clears(expr: str, rows: Rows, margin_se: float = 1.0) -> bool:
    floor = parse_floor(expr, LABELS)
    return margin_cleared(floor, labels=LABELS, margin_se=margin_se, **rows)


def test_margin_is_paired_standard_errors() -> None:
    rows = make_rows(1000, 16, 9)
    error = math.sqrt(25 - 49 / 1000) / 1000
    above = (1 - 7 / 1000) - 0.99
    assert clears("accuracy>=99%", rows, margin_se=0.999 * above / error)
    assert not clears("accuracy>=99%", rows, margin_se=1.001 * above / error)
    assert clears("accuracy>=99%", make_rows(50, 0, 0), margin_se=100)


def test_margin_of_a_ceiling_and_of_an_absolute_floor() -> None:
    rows = make_rows(1000, 0, 40)
    assert clears("flag_rate<=105%", rows, margin_se=1.5)
    assert not clears("flag_rate<=105%", rows, margin_se=1.7)
    rows = make_rows(0, 0, 900, both_wrong=100)
    assert clears("accuracy>=0.89", rows)
    assert not clears("accuracy>=0.895", rows)


def test_margin_of_a_resampled_metric_by_the_jackknife() -> None:
    # Macro recall of even classes is accuracy, whose standard error is known.
    rows = make_mixture(3000, 12)
    error = math.sqrt(12 - 144 / 3000) / 3000
    above = (1 - 12 / 3000) - 0.99
    assert clears("recall>=99%", rows, margin_se=0.98 * above / error)
    assert not clears("recall>=99%", rows, margin_se=1.02 * above / error)
    assert not clears("recall[abuse]>=99%", make_rows(10, 0, 0))


def test_overall_is_the_worst() -> None:
    holds, broken = (ask("accuracy>=99%", make_rows(1000, lost, 0)) for lost in (0, 50))
    unproven = ask("accuracy>=99%", make_rows(10, 0, 0))
    assert overall([holds]) == "holds"
    assert overall([holds, unproven]) == "unproven"
    assert overall([unproven, broken, holds]) == "broken"
    assert overall([]) == "unproven"


def test_json_there_and_back() -> None:
    verdict = ask("accuracy>=99%", make_rows(100, 0, 0))
    assert from_json(Verdict, to_json(verdict)) == verdict


@pytest.mark.parametrize(
    ("expr", "lost", "rows", "is_proven"),
    [
        ("accuracy>=99%", 0, 2_000, True),
        ("accuracy>=99%", 0, 100, False),
        ("accuracy>=99%", 5, 2_000, False),
        ("accuracy>=99%", 5, 20_000, True),
        ("macro_f1>=99%", 0, 4_000, True),
        ("macro_f1>=99%", 0, 50, False),
        ("flag_rate<=101%", 0, 2_000, True),
        ("flag_rate<=101%", 0, 100, False),
    ],
)
def test_what_another_set_would_prove_depends_on_its_rows(
    expr: str, lost: int, rows: int, *, is_proven: bool
) -> None:
    """Of 1,000 rows the original has 800 right; `lost` of them are lost."""
    names = len(LABELS)
    truth = np.arange(1_000) % names
    original = np.where(np.arange(1_000) < 800, truth, (truth + 1) % names)
    candidate = original.copy()
    candidate[:lost] = (truth[:lost] + 1) % names
    found = would_hold(
        parse_floor(expr, LABELS),
        truth=truth,
        original=original,
        candidate=candidate,
        labels=LABELS,
        rows=rows,
    )
    assert found == is_proven


def test_what_these_rows_cannot_show_another_set_would_not_prove() -> None:
    truth = np.zeros(50, dtype=np.int64)
    rows = {"truth": truth, "original": truth, "candidate": truth}
    floor = parse_floor(f"recall[{LABELS.names[1]}]>=0.9", LABELS)
    assert not would_hold(floor, **rows, labels=LABELS, rows=10_000)
