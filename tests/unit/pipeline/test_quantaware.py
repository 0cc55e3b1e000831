"""Quantisation-aware distillation inside a run, on a toy model over the small test vocabulary."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.bert_vocab import VOCABULARY
from tests.support.toy_models import trained_state
from thinfer.compress.quantaware import QuantAwareSettings
from thinfer.compress.state import State
from thinfer.core.clock import ManualClock
from thinfer.core.progress import SilentProgress
from thinfer.nn.predict import compute_logits
from thinfer.pipeline import quantaware
from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.quantaware import learn_rounding
from thinfer.pipeline.states import StateTrial
from thinfer.text.corpus import Corpus


def broken_state() -> State:
    """A trained state whose answers INT8 changes: neurons far larger than what they stand beside.

    They are always on, and the bias or a neuron of the other sign takes back what they add, so
    that FP32 answers as before.
    """
    state = trained_state()
    weights = {name: array.copy() for name, array in state.weights.items()}
    for layer, neurons in ((0, 1), (1, 8)):
        prefix = f"layers.{layer}.ffn"
        signs = np.array([1.0, -1.0] * 4)[:neurons]
        weights[f"{prefix}.up.weight"][:neurons] = 0.0
        weights[f"{prefix}.up.bias"][:neurons] = 10.0
        weights[f"{prefix}.down.weight"][:, :neurons] = 100.0 * signs
        weights[f"{prefix}.down.bias"] -= 1000.0 * signs.sum()
    return dataclasses.replace(state, weights=weights)


def set_rate(monkeypatch: pytest.MonkeyPatch, rate: float, clip_norm: float = 1.0) -> None:
    """A toy learns with far larger steps than a real model."""
    usual = QuantAwareSettings()
    train = dataclasses.replace(
        usual.train, learning_rate=rate, clip_norm=clip_norm, precision="fp32"
    )
    monkeypatch.setattr(
        quantaware, "QuantAwareSettings", lambda: dataclasses.replace(usual, train=train)
    )


def labelled(state: State, rows: int, seed: int) -> LabelledSet:
    rng = np.random.default_rng(seed)
    words = [word for word in VOCABULARY if word.isalnum()]
    texts = [" ".join(rng.choice(words, size=int(rng.integers(3, 9)))) for _ in range(rows)]
    truth = compute_logits(state.module(), state.tokenizer.encode(texts).batch, pad_id=0).argmax(1)
    corpus = Corpus(name="toy", texts=tuple(texts), rows=tuple(range(rows)))
    return LabelledSet(corpus=corpus, truth=truth.astype(np.int64))


def job_of(tmp_path: Path, state: State, retrain: str = "short") -> Any:  # noqa: ANN401 - stands in for a job
    train, dev = labelled(state, 1500, 1), labelled(state, 400, 2)

    def keep_state(name: str, like: State, make: Callable[[], State]) -> State:
        (tmp_path / "states" / name).mkdir(parents=True)
        return make()

    return SimpleNamespace(
        request=SimpleNamespace(retrain=retrain, seed=0),
        workspace=SimpleNamespace(folder=lambda name: tmp_path / name, state=keep_state),
        sets=SimpleNamespace(train=train, dev=dev),
        original=state,
        calibration=lambda tokenizer: tokenizer.encode(train.corpus.texts).batch,
        answers=lambda logits: logits.argmax(axis=1),
        missed_floors=lambda answers, margin_se=1.0: (),
        progress=SilentProgress(),
        clock=ManualClock(),
        rng=lambda: np.random.default_rng(0),
    )


@pytest.mark.parametrize(("retrain", "epochs"), [("short", 1), ("full", 2)])
def test_a_state_learns_from_the_original_and_gets_a_name_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, retrain: str, epochs: int
) -> None:
    set_rate(monkeypatch, 3e-4)
    state = broken_state()
    trial = StateTrial(name="dense", state=state, logits=None, missed=())
    tuned = learn_rounding(job_of(tmp_path, state, retrain), trial)
    report = tuned.state.history[-1]
    assert (tuned.name, report.step, report.outcome) == (
        "dense-quantaware",
        "quantaware",
        "applied",
    )
    lost = [400 - report.details[f"dev_right_{when}"] for when in ("before", "after")]
    assert lost[0] > 40
    assert lost[1] < 0.9 * lost[0]
    assert report.details["epochs"] == epochs
    assert tuned.logits.shape == (400, 3)
    assert (tmp_path / "states" / "taught.npy").exists()
    assert trial.state.history == ()


def test_a_refused_training_leaves_its_report_and_the_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_rate(monkeypatch, 10.0, clip_norm=1e6)
    state = trained_state()
    trial = StateTrial(name="dense", state=state, logits=None, missed=())
    tuned = learn_rounding(job_of(tmp_path, state), trial)
    assert tuned.name == "dense"
    assert tuned.state.history[-1].outcome == "refused"
    for name, array in state.weights.items():
        np.testing.assert_array_equal(tuned.state.weights[name], array)


def test_short_retraining_draws_a_part_of_a_large_training_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_rate(monkeypatch, 1e-7)
    monkeypatch.setattr(quantaware, "_EFFORT", {"short": (1, 64)})
    state = broken_state()
    trial = StateTrial(name="dense", state=state, logits=None, missed=())
    tuned = learn_rounding(job_of(tmp_path, state), trial)
    assert tuned.state.history[-1].details["rows"] == 64
