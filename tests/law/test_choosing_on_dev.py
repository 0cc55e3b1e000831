"""Law: choosing among many candidates on `dev` makes no more false `holds` than one candidate."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.proof_select import draw_selections, find_noise, spread_losses
from benchmarks.proof_sums import (
    Change,
    chance_of_clearing,
    chance_of_holding,
    choose_and_judge,
    make_rows,
)
from thinfer.quality import LabelSet, judge, parse_floor
from thinfer.quality.paired import bound_loss


def choose(trials: int, losses: list[float], allowed: float, changed: float) -> tuple[float, float]:
    changes = [
        Change.at(trials, net=net, changed=max(net, changed), others=trials // 4) for net in losses
    ]
    clearing = [chance_of_clearing(change, allowed) for change in changes]
    holding = [chance_of_holding(change, allowed) for change in changes]
    return choose_and_judge(clearing, holding, [net >= allowed - 1e-9 for net in losses])


@pytest.mark.parametrize("trials", [300, 1000, 3000])
@pytest.mark.parametrize(("allowed", "changed"), [(0.005, 0.005), (0.005, 0.02), (0.01, 0.01)])
@pytest.mark.parametrize("candidates", [1, 3, 10, 30])
def test_false_holds_stay_rare_among_many(
    trials: int, allowed: float, changed: float, candidates: int
) -> None:
    for losses in ([allowed] * candidates, spread_losses(candidates, allowed)):
        chosen, _ = choose(trials, losses, allowed, changed)
        assert chosen <= 0.05


def test_taking_what_holds_on_test_is_refused_by_the_same_sum() -> None:
    """With thirty candidates at the floor, choosing and judging on one set fools itself."""
    chosen, taken = choose(1000, [0.005] * 30, 0.005, 0.005)
    assert chosen <= 0.05
    assert taken > 0.5


def test_none_that_clears_gives_the_last() -> None:
    assert choose_and_judge([0.0, 0.0], [1.0, 0.25], [True, True])[0] == 0.25
    assert choose_and_judge([0.0, 1.0], [1.0, 0.25], [True, False])[0] == 0.0


def test_rows_that_all_candidates_share_and_the_real_choice() -> None:
    found = draw_selections([0.01] * 5, allowed=0.01, rows=600, draws=60, seed=1)
    assert found["false_holds"]["low"] <= 0.05
    assert found["false_holds"]["share"] <= found["false_holds_on_test"]["share"]
    noise, changed = find_noise(0.01)
    assert noise > 0
    assert changed > 0.01


def test_the_sums_are_the_chances_of_what_judge_says() -> None:
    """All outcomes of a small set, each asked of `judge`, weighed by hand."""
    change = Change.at(60, net=0.1, changed=0.2, others=20)
    labels, rng = LabelSet(("right", "wrong")), np.random.default_rng(0)
    floor = parse_floor("accuracy>=80%", labels)
    (first, losses), (start, gains) = change.losses(), change.gains()
    total = 0.0
    for lost, chance in enumerate(losses[:30], first):
        for gained, weight in enumerate(gains, start):
            if chance * weight < 1e-7:
                continue
            truth, one, other = make_rows(60, 20, lost, gained)
            said = judge(floor, truth=truth, original=one, candidate=other, labels=labels, rng=rng)
            assert (said.verdict == "holds") == (bound_loss(lost, gained, 60) <= 0.2 + 1e-9)
            total += chance * weight * (said.verdict == "holds")
    assert total == pytest.approx(chance_of_holding(change, 0.2), abs=1e-4)
