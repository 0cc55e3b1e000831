"""Training as the rounded self: what rounding broke is mended, and harm is refused."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support.toy_models import accuracy_of, toy_task, trained_state
from thinfer.compress.quantaware import QuantAwareSettings, distill_rounded
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.core.clock import ManualClock
from thinfer.core.progress import SilentProgress
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.predict import compute_logits
from thinfer.nn.train import Encoded, TrainSettings

TRAIN = TrainSettings(epochs=1, batch_size=32, learning_rate=2e-3, dropout=0.0, precision="fp32")


class CoarseTable(torch.nn.Embedding):
    """Word rows of two values only: far coarser than INT8, so that the effect is large."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Give rounded rows; the gradient passes straight through."""
        rows = super().forward(ids)
        scale = rows.detach().abs().mean(-1, keepdim=True)
        return rows + (rows.sign() * scale - rows).detach()


def round_coarsely(state: State) -> EncoderClassifier:
    module = state.module()
    table = CoarseTable(*module.embeddings.word.weight.shape)
    table.weight = module.embeddings.word.weight
    module.embeddings.word = table
    return module


def encoded(texts: int, seed: int) -> Encoded:
    batch, labels = toy_task(texts, seed=seed)
    return Encoded(batch=batch, targets=labels)


@functools.cache
def lesson() -> tuple[Encoded, NDArray[np.float32]]:
    train = encoded(1600, 11)
    return train, compute_logits(trained_state().module(), train.batch, pad_id=0)


def run(train: TrainSettings) -> tuple[State, StepReport]:
    rows, taught = lesson()
    return distill_rounded(
        trained_state(),
        round_coarsely,
        rows,
        taught=taught,
        dev=encoded(400, 12),
        settings=QuantAwareSettings(train=train),
        progress=SilentProgress(),
        clock=ManualClock(),
    )


def rounded_accuracy(state: State) -> float:
    batch, labels = toy_task(1000, seed=13)
    logits = compute_logits(round_coarsely(state), batch, pad_id=0)
    return float((logits.argmax(1) == labels).mean())


def test_the_rounded_state_wins_back_what_rounding_broke() -> None:
    state, report = run(TRAIN)
    assert (report.step, report.outcome) == ("quantaware", "applied")
    assert state.history[-1] is report
    assert report.details["dev_right_after"] > report.details["dev_right_before"]
    batch, labels = toy_task(1000, seed=13)
    whole = accuracy_of(trained_state(), batch, labels)
    broken = whole - rounded_accuracy(trained_state())
    assert broken > 0.03
    assert whole - rounded_accuracy(state) < 0.6 * broken
    assert {*state.weights} == {*trained_state().weights}


def test_a_harmful_training_is_refused_and_says_so_in_the_history() -> None:
    state, report = run(dataclasses.replace(TRAIN, learning_rate=10.0, clip_norm=1e6))
    assert report.outcome == "refused"
    assert "rounded, it answered" in report.reason
    assert state.history == (report,)
    for name, array in trained_state().weights.items():
        np.testing.assert_array_equal(state.weights[name], array)


def test_a_loss_that_is_no_number_refuses_the_step_and_not_the_run() -> None:
    rows, _ = lesson()
    state, report = distill_rounded(
        trained_state(),
        round_coarsely,
        rows,
        taught=np.full((len(rows.batch), 3), np.nan, dtype=np.float32),
        dev=encoded(40, 12),
        settings=QuantAwareSettings(train=TRAIN),
        progress=SilentProgress(),
        clock=ManualClock(),
    )
    assert (report.outcome, state.history) == ("refused", (report,))
    assert "the loss became nan" in report.reason


def test_the_same_seed_gives_the_same_weights() -> None:
    one, two = (run(TRAIN)[0] for _ in range(2))
    for name, array in one.weights.items():
        np.testing.assert_array_equal(two.weights[name], array)


@pytest.mark.parametrize("seconds", [0.0, 1e6])
def test_time_that_runs_out_is_told(seconds: float) -> None:
    clock = ManualClock()
    rows, taught = lesson()

    class Late(SilentProgress):
        """Lets time pass with each task."""

        @contextmanager
        def task(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
            """The first thing that an epoch does."""
            del label, total
            clock.advance(seconds)
            yield lambda steps: None

    _, report = distill_rounded(
        trained_state(),
        round_coarsely,
        rows,
        taught=taught,
        dev=encoded(100, 12),
        settings=QuantAwareSettings(
            train=dataclasses.replace(TRAIN, learning_rate=1e-5, max_minutes=1.0)
        ),
        progress=Late(),
        clock=clock,
    )
    assert report.outcome == ("degraded" if seconds else "applied")
    assert ("time ran out in epoch 1 of 1" in report.reason) == bool(seconds)
