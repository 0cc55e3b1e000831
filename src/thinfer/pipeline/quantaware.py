"""Quantisation-aware distillation inside a run: the original teaches a state that is rounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.quantaware import QuantAwareSettings, distill_rounded
from thinfer.compress.state import State
from thinfer.export.ranges import measure_ranges
from thinfer.export.rounded import round_model
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.predict import compute_logits
from thinfer.nn.train import Encoded
from thinfer.pipeline.job import Job
from thinfer.pipeline.states import StateTrial, try_state
from thinfer.pipeline.workspace import keep_array

__all__ = ["SUFFIX", "learn_rounding"]

SUFFIX = "-quantaware"

# Epochs and most training rows, by what was asked for.
_EFFORT = {"short": (1, 16_384), "full": (2, None)}


def learn_rounding(job: Job, trial: StateTrial) -> StateTrial:
    """Train a state to live with INT8, on training text with the original's answers.

    Args:
        job: the run; its `retrain` says for how long, and is not `none`.
        trial: the state, whose FP32 form clears the floors.

    Returns:
        The trained state under a name of its own; or, where training was refused, the same state
        with that report in its history.
    """
    epochs, most = _EFFORT[job.request.retrain]
    rows = _draw_rows(job, most)
    name = f"{trial.name}{SUFFIX}"

    def make() -> State:
        state = trial.state
        part = job.sets.train.corpus.select(rows)
        batch = state.tokenizer.encode(part.texts, part.pairs).batch
        settings = QuantAwareSettings()
        tuned, _ = distill_rounded(
            state,
            lambda each: _round(job, each),
            Encoded(batch=batch, targets=job.sets.train.truth[rows]),
            taught=_ask_original(job, rows),
            dev=Encoded(
                batch=job.sets.dev.encode(state.tokenizer).batch, targets=job.sets.dev.truth
            ),
            settings=replace(
                settings, train=replace(settings.train, epochs=epochs, seed=job.request.seed)
            ),
            progress=job.progress,
            clock=job.clock,
        )
        return tuned

    tuned = job.workspace.state(name, trial.state, make)
    report = tuned.history[-1]
    if report.outcome == "refused":
        job.progress.note(f"{trial.name}: {report.step} refused: {report.reason}")
        return replace(trial, state=tuned)
    return try_state(job, name, tuned)


def _round(job: Job, state: State) -> EncoderClassifier:
    ranges = measure_ranges(state.weights, state.architecture, job.calibration(state.tokenizer))
    return round_model(state.module(), ranges)


def _draw_rows(job: Job, most: int | None) -> list[int]:
    rows = len(job.sets.train)
    if most is None or rows <= most:
        return list(range(rows))
    return sorted(map(int, job.rng().choice(rows, size=most, replace=False)))


def _ask_original(job: Job, rows: list[int]) -> NDArray[np.float32]:
    """Give the original's logits of training rows; computed once a run."""
    original = job.original
    part = job.sets.train.corpus.select(rows)
    return keep_array(
        job.workspace.folder("states/taught.npy"),
        lambda: compute_logits(
            original.module(),
            original.tokenizer.encode(part.texts, part.pairs).batch,
            pad_id=original.pad_id,
        ),
    )
