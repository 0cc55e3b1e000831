"""Shorter texts: states that read fewer tokens of a text, where some texts are long enough.

Cutting is no step of pruning: the weights stay, the tokenizer stops earlier, and position rows
beyond that go. A candidate is judged with its cut texts against the original's whole ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.embedding import prune_positions
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.candidate import Candidate, Form
from thinfer.pipeline.dropped import describe_missed
from thinfer.pipeline.job import Job
from thinfer.pipeline.states import StateTrial, describe_trial
from thinfer.pipeline.workspace import keep_array

__all__ = ["find_lengths", "offer_lengths", "shorten", "shorten_best"]

Tokens = NDArray[np.int64]

_QUANTILES = (0.99, 0.95, 0.90)  # of the training texts' lengths
_STEP = 8  # engines pad to multiples of it anyway
# Of all tokens: below it a shorter limit cannot be seen in the throughput (docs/why/19).
_LEAST_SAVED = 0.02
_MOST_FORMS = 2

Tried = Sequence[tuple[Candidate, StateTrial]]


def offer_lengths(train: Tokens, dev: Tokens) -> tuple[int, ...]:
    """Give the limits on a text's tokens that are worth a trial.

    Args:
        train: tokens of each training text under the model's own limit, int64 `[rows]`.
        dev: the same of `dev`, int64 `[rows]`.

    Returns:
        The 99th, 95th and 90th percentile of the training texts, rounded up to a multiple of 8,
        longest first, each once; those that would cut less than 2 % of the tokens of `dev` are
        left out, and so are all where no text is longer.
    """
    whole = int(dev.sum())
    limits = [math.ceil(float(np.quantile(train, q)) / _STEP) * _STEP for q in _QUANTILES]
    return tuple(
        limit
        for limit in dict.fromkeys(limits)
        if whole - int(np.minimum(dev, limit).sum()) >= _LEAST_SAVED * whole
    )


def find_lengths(job: Job) -> tuple[int, ...]:
    """Give the limits that are worth a trial in a run.

    Args:
        job: the run.
    """
    tokenizer = job.original.tokenizer
    train = job.calibration(tokenizer).lengths
    return offer_lengths(train, job.sets.dev.encode(tokenizer).batch.lengths)


def shorten(job: Job, trial: StateTrial, limit: int) -> StateTrial:
    """Give a state that reads at most so many tokens of a text, tried on `dev`.

    Args:
        job: the run.
        trial: the state that reads more.
        limit: tokens, specials included.

    Returns:
        The shorter state; its `base` is `trial`. Only texts that are cut were run again.
    """
    name = f"{trial.name}-length-{limit}"
    state = job.workspace.state(name, trial.state, lambda: prune_positions(trial.state, limit)[0])

    def run() -> NDArray[np.float32]:
        encoding = job.sets.dev.encode(state.tokenizer)
        rows = np.flatnonzero(encoding.truncated)
        logits: NDArray[np.float32] = np.array(trial.logits, dtype=np.float32)
        if len(rows):
            batch = encoding.batch.select(rows)
            logits[rows] = compute_logits(state.module(), batch, pad_id=state.pad_id)
        return logits

    logits = keep_array(job.workspace.folder(f"states/{name}/dev.npy"), run)
    return replace(describe_trial(job, name, state, logits), base=trial)


def shorten_best(
    job: Job, tried: Tried, dropped: dict[str, dict[str, Any]]
) -> tuple[Form, tuple[StateTrial, ...]]:
    """Try shorter texts with the best state so far: the one of least work that cleared.

    Args:
        job: the run.
        tried: its candidates, at least one.
        dropped: rows of limits whose FP32 form misses a floor are added here, by name.

    Returns:
        The form of that state that was fastest on `dev`, and the shorter states that may be made
        into that form: the shortest first, at most two, none where no text is longer.
    """
    lengths = find_lengths(job)
    good = [pair for pair in tried if not pair[0].facts["refused"] and pair[1].base is None]
    if not lengths or not good:
        return tried[0][0].form, ()
    least = min(int(candidate.facts["macs"]) for candidate, _ in good)
    parent, trial = max(
        (pair for pair in good if int(pair[0].facts["macs"]) == least),
        key=lambda pair: float(pair[0].facts["dev_texts_per_second"]),
    )
    known = {known.name for _, known in tried}
    names = {limit: f"{trial.name}-length-{limit}" for limit in lengths}
    shorter = [shorten(job, trial, limit) for limit in lengths if names[limit] not in known]
    for item in shorter:
        if item.missed:
            dropped[item.name] = _describe(job, item)
    clear = [item for item in reversed(shorter) if not item.missed]
    return parent.form, tuple(clear[:_MOST_FORMS])


def _describe(job: Job, trial: StateTrial) -> dict[str, Any]:
    what = f"on dev, {', '.join(trial.missed)} is not cleared by its FP32 torch form"
    job.progress.note(f"{trial.name}: {what}")
    answers = job.answers(trial.logits)
    return describe_missed(job, trial.name, trial.state, answers=answers, reason=what)
