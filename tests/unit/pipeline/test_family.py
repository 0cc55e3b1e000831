"""All widths of a run come from one set of weights, trained once."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import thinfer.pipeline.family as family_module
from tests.support.toy_job import toy_job
from tests.support.toy_models import trained_state
from thinfer.compress.ladder import Ladders
from thinfer.compress.prune import PruneTarget, build_ladders, prune_to
from thinfer.compress.state import State
from thinfer.pipeline.family import WidthFamily
from thinfer.pipeline.job import Job

HALF, QUARTER = Fraction(1, 2), Fraction(1, 4)


def grow(job: Job) -> tuple[WidthFamily, Callable[[Fraction], State]]:
    state = trained_state()
    batch = job.calibration(state.tokenizer)
    ladders: Ladders = build_ladders(state, batch, rng=np.random.default_rng(0))

    def prune(width: Fraction) -> State:
        return prune_to(state, ladders, batch, PruneTarget(ratio=float(width)))[0]

    return WidthFamily(job, state, ladders, prune), prune


@pytest.fixture(name="job")
def make_job(tmp_path: Path) -> Job:
    return toy_job(tmp_path, retrain="adaptive", widths=(HALF, QUARTER))


def is_inside(small: State, large: State) -> bool:
    """Whether the smaller state's FFN is a front part of the larger one's."""
    name = "layers.0.ffn.up.weight"
    mine, theirs = small.weights[name], large.weights[name]
    return bool(np.array_equal(mine, theirs[: len(mine)]))


def test_each_width_is_a_part_of_the_same_weights(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(family_module, "count_right", lambda *_: 1)
    family, prune = grow(job)
    half, quarter = family.at(HALF), family.at(QUARTER)
    assert is_inside(quarter, half)
    for width, state in ((HALF, half), (QUARTER, quarter)):
        before, report = state.history[-2:]
        assert (before.step, report.step, report.outcome) == ("prune", "adaptive", "applied")
        assert report.details["trained_widths"] == ["1/2", "1/4"]
        assert state.architecture == prune(width).architecture
        assert "refits" not in before.details


def test_a_width_that_was_not_trained_says_so(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family_module, "count_right", lambda *_: 1)
    report = grow(job)[0].at(Fraction(3, 8)).history[-1]
    assert report.outcome == "degraded"
    assert "3/8 was not among" in report.reason


def test_where_the_repaired_cut_answers_better_it_is_kept(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([9, 8])
    monkeypatch.setattr(family_module, "count_right", lambda *_: next(counts))
    family, prune = grow(job)
    state = family.at(HALF)
    assert state.history[-1].outcome == "refused"
    assert "8 of 100 dev texts right, the repaired cut 9" in state.history[-1].reason
    for name, value in prune(HALF).weights.items():
        np.testing.assert_array_equal(state.weights[name], value)


def test_training_happens_once_and_its_outcome_is_stored(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = grow(job)[0].at(HALF)

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(family_module, "train_widths", never)
    again = grow(job)[0].at(HALF)  # another process would find it in the work folder too
    for name, value in first.weights.items():
        np.testing.assert_array_equal(value, again.weights[name])
