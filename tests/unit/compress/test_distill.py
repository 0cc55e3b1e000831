"""Short retraining brings a cut student back towards its teacher."""

import dataclasses

import numpy as np
import pytest

from tests.support.toy_models import (
    accuracy_of,
    logits_of,
    toy_architecture,
    toy_state,
    toy_task,
    trained_state,
)
from thinfer.architecture import PruningMask
from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.surgery import cut
from thinfer.core.clock import ManualClock
from thinfer.core.progress import SilentProgress
from thinfer.errors import DataError
from thinfer.nn.train import Encoded, TrainSettings

TRAIN = TrainSettings(epochs=2, batch_size=32, learning_rate=3e-3, dropout=0.0, precision="fp32")


def encoded(texts: int, seed: int) -> Encoded:
    batch, labels = toy_task(texts, seed=seed)
    return Encoded(batch=batch, targets=labels)


def student(layers: tuple[bool, bool] = (True, True)) -> State:
    state = trained_state()
    mask = dataclasses.replace(
        PruningMask.keep_all(state.architecture),
        neurons=tuple(np.arange(64) < 8 for _ in range(2)),
        layers=layers,
    )
    return cut(state, mask)


def run(
    state: State, settings: DistillSettings, teacher: State | None = None
) -> tuple[State, StepReport]:
    return distill(
        state,
        teacher or trained_state(),
        encoded(1200, 11),
        dev=encoded(400, 12),
        settings=settings,
        progress=SilentProgress(),
        clock=ManualClock(),
    )


@pytest.mark.parametrize("hidden_weight", [0.0, 1.0])
@pytest.mark.parametrize("layers", [(True, True), (False, True)])
def test_the_student_gains(hidden_weight: float, layers: tuple[bool, bool]) -> None:
    before = student(layers)
    after, report = run(before, DistillSettings(train=TRAIN, hidden_weight=hidden_weight))
    batch, labels = toy_task(800, seed=13)
    assert report.outcome == "applied"
    assert after.history[-1] is report
    assert accuracy_of(after, batch, labels) > accuracy_of(before, batch, labels) + 0.05
    assert after.architecture == before.architecture


def test_a_harmful_training_is_refused() -> None:
    rate = dataclasses.replace(TRAIN, epochs=1, learning_rate=10.0, clip_norm=1e6)
    state = trained_state()
    same, report = run(state, DistillSettings(train=rate))
    assert same is state
    assert report.outcome == "refused"
    assert report.details["dev_right_after"] < report.details["dev_right_before"]


@pytest.mark.parametrize(("turned", "outcome"), [(1, "applied"), (4, "refused")])
def test_few_rows_that_turn_wrong_are_chance(turned: int, outcome: str) -> None:
    before = student()
    settings = DistillSettings(train=dataclasses.replace(TRAIN, epochs=1))
    after, _ = run(before, settings)
    batch, _ = toy_task(400, seed=15)
    own, later = (np.asarray(logits_of(state, batch)).argmax(axis=1) for state in (before, after))
    rows = [*np.flatnonzero(own != later)[:turned], *np.flatnonzero(own == later)[:50]]
    # Of these rows the student before its training answers all right.
    dev = Encoded(batch=batch.select(rows), targets=own[rows])
    same, report = distill(
        before,
        trained_state(),
        encoded(1200, 11),
        dev=dev,
        settings=settings,
        progress=SilentProgress(),
        clock=ManualClock(),
    )
    told = report.details
    assert (told["dev_right_before"], told["dev_right_after"]) == (50 + turned, 50)
    assert (report.outcome, same is before) == (outcome, outcome == "refused")


def test_the_same_seed_gives_the_same_weights() -> None:
    settings = DistillSettings(train=dataclasses.replace(TRAIN, epochs=1))
    batch, _ = toy_task(20, seed=1)
    one, other = (run(student(), settings)[0] for _ in range(2))
    np.testing.assert_array_equal(logits_of(one, batch), logits_of(other, batch))


def test_another_vocabulary_is_refused() -> None:
    shape = dataclasses.replace(toy_architecture(), vocab=7)
    with pytest.raises(DataError, match="does not fit its teacher"):
        run(student(), DistillSettings(), teacher=toy_state(shape))


def test_relations_take_part_and_the_report_names_their_layers() -> None:
    before = student()
    after, report = run(before, DistillSettings(train=TRAIN, relation_weight=1.0))
    batch, labels = toy_task(800, seed=13)
    assert report.outcome == "applied"
    assert report.details["relation_layers"] == (1, 1)
    assert accuracy_of(after, batch, labels) > accuracy_of(before, batch, labels) + 0.05


def test_without_attention_the_report_says_that_relations_were_left_out() -> None:
    state = trained_state()
    keep = PruningMask.keep_all(state.architecture)
    none = dataclasses.replace(keep, heads=tuple(np.zeros(4, dtype=np.bool_) for _ in range(2)))
    _, report = run(cut(state, none), DistillSettings(train=TRAIN, relation_weight=1.0))
    assert report.outcome == "degraded"
    assert "no layer of both models has attention" in report.reason
    assert report.details["relation_layers"] is None


def test_unlabelled_text_teaches_a_student_that_saw_few_labels() -> None:
    few = encoded(60, 11)
    more, _ = toy_task(1200, seed=14)
    batch, labels = toy_task(800, seed=13)
    accuracies = []
    for unlabelled in (None, more):
        after, report = distill(
            student(),
            trained_state(),
            few,
            dev=encoded(400, 12),
            unlabelled=unlabelled,
            settings=DistillSettings(train=TRAIN),
            progress=SilentProgress(),
            clock=ManualClock(),
        )
        assert report.details["unlabelled_rows"] == (0 if unlabelled is None else 1200)
        assert report.details["rows"] == 60 + report.details["unlabelled_rows"]
        accuracies.append(accuracy_of(after, batch, labels))
    assert accuracies[1] > accuracies[0] + 0.05
