"""Zeros that come little by little are all there in the end, and training makes up for them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.toy_models import (
    accuracy_of,
    toy_architecture,
    toy_state,
    toy_task,
    trained_state,
)
from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.sparsify import (
    GradualSettings,
    Lesson,
    SparsifySettings,
    parse_pattern,
    sparsify,
    sparsify_gradually,
)
from thinfer.compress.sparsify.gradual import ramp_sparsity
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.zeros import count_zeros, list_matrices
from thinfer.core.clock import ManualClock
from thinfer.core.progress import SilentProgress
from thinfer.errors import UserError
from thinfer.nn.train import Encoded, TrainSettings

TRAIN = TrainSettings(epochs=2, batch_size=32, learning_rate=3e-3, dropout=0.0, precision="fp32")


def encoded(texts: int, seed: int) -> Encoded:
    batch, labels = toy_task(texts, seed=seed)
    return Encoded(batch=batch, targets=labels)


def lesson() -> Lesson:
    return Lesson(
        teacher=trained_state(),
        train=encoded(1200, 11),
        dev=encoded(300, 12),
        unlabelled=None,
        calibration=toy_task(200, seed=13)[0],
    )


def run(
    state: State | None = None,
    train: TrainSettings = TRAIN,
    ramp: float = 0.7,
    **fields: Any,  # noqa: ANN401 - settings
) -> tuple[State, StepReport]:
    fields = {"sparsity": 0.9, "method": "magnitude", "block_size": 16, **fields}
    return sparsify_gradually(
        state or trained_state(),
        lesson(),
        GradualSettings(
            zeros=SparsifySettings(**fields), distill=DistillSettings(train=train), ramp=ramp
        ),
        rng=np.random.default_rng(0),
        progress=SilentProgress(),
        clock=ManualClock(),
    )


def test_the_ramp_is_cubic_and_stays_between_its_ends() -> None:
    shares = [ramp_sparsity(done, 0.2, 0.8) for done in (-1.0, 0.0, 0.5, 1.0, 2.0)]
    assert shares == pytest.approx([0.2, 0.2, 0.8 - 0.6 / 8, 0.8, 0.8])


@pytest.mark.parametrize("method", ["magnitude", "second_order", "reconstruction"])
def test_little_by_little_beats_at_once(method: str) -> None:
    small, report = run(method=method)
    assert report.outcome == "applied"
    assert report.details["share"] == pytest.approx(0.9, abs=1e-3)
    assert small.history == (*trained_state().history, report)
    plain = SparsifySettings(sparsity=0.9, method="magnitude")
    batch, labels = toy_task(800, seed=14)
    at_once, _ = sparsify(trained_state(), batch, plain, rng=np.random.default_rng(0))
    assert accuracy_of(small, batch, labels) > accuracy_of(at_once, batch, labels) + 0.05


@pytest.mark.parametrize("allocation", ["uniform", "global"])
@pytest.mark.parametrize("pattern", ["unstructured", "1x4", "2:4"])
def test_the_pattern_holds_at_the_end(pattern: str, allocation: str) -> None:
    shape = parse_pattern(pattern)
    small, report = run(sparsity=0.5, pattern=shape, allocation=allocation)
    assert report.details["share"] == pytest.approx(0.5, abs=1e-3)
    assert report.outcome == "applied"
    for name in list_matrices(small.weights):
        blocks = (small.weights[name] == 0.0).reshape(len(small.weights[name]), -1, 4)
        if pattern == "1x4":
            assert (blocks.all(2) == blocks.any(2)).all()
        if pattern == "2:4":
            assert (blocks.sum(2) == 2).all()


def test_the_same_seed_gives_the_same_weights() -> None:
    lone = replace(TRAIN, epochs=1)
    one, other = (run(train=lone)[0] for _ in range(2))
    assert all((one.weights[name] == other.weights[name]).all() for name in one.weights)


def test_a_later_distillation_keeps_every_zero() -> None:
    small, _ = sparsify(
        trained_state(),
        toy_task(10, seed=1)[0],
        SparsifySettings(sparsity=0.8, method="magnitude"),
        rng=np.random.default_rng(0),
    )
    learned, report = distill(
        small,
        trained_state(),
        encoded(1200, 11),
        dev=encoded(300, 12),
        settings=DistillSettings(train=TRAIN),
        progress=SilentProgress(),
        clock=ManualClock(),
    )
    assert report.outcome == "applied"
    for name in list_matrices(small.weights):
        assert ((learned.weights[name] == 0.0) == (small.weights[name] == 0.0)).all()
        assert not np.array_equal(learned.weights[name], small.weights[name])


def test_zeros_of_an_earlier_step_stay_through_a_ramp() -> None:
    first, _ = sparsify(
        trained_state(),
        toy_task(10, seed=1)[0],
        SparsifySettings(sparsity=0.5, method="magnitude", allocation="global"),
        rng=np.random.default_rng(0),
    )
    second, _ = run(first, train=replace(TRAIN, epochs=1), sparsity=0.7)
    for name in list_matrices(first.weights):
        assert (second.weights[name][first.weights[name] == 0.0] == 0.0).all()


def test_a_training_that_runs_out_of_time_still_ends_with_all_zeros() -> None:
    late = replace(TRAIN, epochs=3, max_minutes=1e-9)
    state, _ = trained_state(), None
    small, report = sparsify_gradually(
        state,
        lesson(),
        GradualSettings(
            zeros=SparsifySettings(sparsity=0.8, method="magnitude"),
            distill=DistillSettings(train=late),
        ),
        rng=np.random.default_rng(0),
        progress=SilentProgress(),
        clock=_Running(),
    )
    assert report.outcome == "degraded"
    assert "before its ramp did" in report.reason
    assert count_zeros(small.weights)["share"] == pytest.approx(0.8, abs=1e-3)


class _Running(ManualClock):
    """A minute passes at each look."""

    def monotonic(self) -> float:
        now = super().monotonic()
        self.advance(60.0)
        return now


def test_a_model_without_matrices_is_refused() -> None:
    shape = replace(toy_architecture(((0, 0),)))
    same, report = run(toy_state(shape))
    assert report.outcome == "refused"
    assert same.weights.keys() == toy_state(shape).weights.keys()


@pytest.mark.parametrize("ramp", [0.0, -0.5, 1.5])
def test_an_impossible_ramp_is_refused(ramp: float) -> None:
    with pytest.raises(UserError, match="ramp"):
        run(ramp=ramp)
