"""Fall-back: where INT8 breaks a floor that FP32 clears, the blocks that feel it most go back.

Blocks are ordered by what rounding each one alone does to the logits on calibration text, and
the first 1, 2, 4, … of them are left in FP32 until the form clears the floors. Where retraining was
asked for, the weights are first given a chance to learn the rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from thinfer.export.block_loss import measure_block_losses
from thinfer.export.ranges import measure_ranges
from thinfer.pipeline.candidate import Candidate, Form
from thinfer.pipeline.job import Job
from thinfer.pipeline.quantaware import learn_rounding
from thinfer.pipeline.states import StateTrial
from thinfer.pipeline.workspace import keep_json

__all__ = ["fall_back", "list_steps", "needs_rescue"]

_STEPS = (1, 2, 4, 8)
_MOST = 0.5  # of the blocks: with more of them in FP32, INT8 has hardly anything left to give

TryForm = Callable[[Job, Form, StateTrial], Candidate]


def needs_rescue(candidate: Candidate, trial: StateTrial) -> bool:
    """Whether a form lost in INT8 what its state has in FP32.

    Args:
        candidate: judged on `dev`.
        trial: its state.

    Returns:
        True where it ran, and missed a floor or gave other labels than its own FP32 form, while
        that one clears every floor.
    """
    facts = candidate.facts
    has_run = facts.get("parity") is not None
    is_int8 = candidate.form.precision == "int8"
    return is_int8 and has_run and bool(facts["refused"]) and not trial.missed


def fall_back(
    job: Job, plain: Candidate, trial: StateTrial, try_form: TryForm
) -> Iterator[tuple[Candidate, StateTrial]]:
    """Give further forms of an INT8 candidate that needs rescue, until one clears the floors.

    Args:
        job: the run.
        plain: a form, judged on `dev`; nothing is given where it needs no rescue.
        trial: its state.
        try_form: makes and judges a form.

    Returns:
        With retraining, the form of the state that learned to live with INT8; then forms that
        leave the most sensitive 1, 2, 4, … blocks in FP32, up to half of them. An engine that
        cannot do that gives one form, which says so.
    """
    if not needs_rescue(plain, trial):
        return
    form = plain.form
    if job.request.retrain != "none":
        tuned = learn_rounding(job, trial)
        if tuned.name != trial.name:
            form = replace(form, state=tuned.name)
            candidate = try_form(job, form, tuned)
            yield candidate, tuned
            if not candidate.facts["refused"]:
                return
        if tuned.missed:  # its FP32 form fell below a floor, and with it all that is made of it
            form = plain.form
        else:
            trial = tuned
    losses = _measure_losses(job, trial)
    names = ", ".join(str(each["block"]) for each in losses[:3])
    job.progress.note(f"{form.name}: most sensitive to rounding are {names}")
    for count in list_steps(len(losses)):
        kept = tuple(str(each["block"]) for each in losses[:count])
        candidate = try_form(job, replace(form, kept_fp32=kept), trial)
        candidate.facts["block_losses"] = losses
        yield candidate, trial
        cannot_be_made = candidate.facts.get("parity") is None
        if cannot_be_made or not candidate.facts["refused"]:
            return


def list_steps(blocks: int) -> tuple[int, ...]:
    """Give how many blocks are left in FP32, attempt by attempt.

    Args:
        blocks: of the model, 2 or more.
    """
    return tuple(step for step in _STEPS if step == 1 or step <= _MOST * blocks)


def _measure_losses(job: Job, trial: StateTrial) -> list[Mapping[str, Any]]:
    """Give the losses of the blocks of a state, worst first; what is not finite is null there."""
    state = trial.state

    def measure() -> list[Mapping[str, Any]]:
        batch = job.calibration(state.tokenizer)
        ranges = measure_ranges(state.weights, state.architecture, batch)
        found = measure_block_losses(
            state.weights,
            state.architecture,
            batch,
            ranges=ranges,
            is_multi_label=state.is_multi_label,
        )
        return [
            {
                "block": each.block,
                "kl": each.kl if np.isfinite(each.kl) else None,
                "flips": each.flips,
                "texts": each.texts,
            }
            for each in found
        ]

    with job.progress.task(f"sensitivity of {trial.name}", 1) as advance:
        stored = job.workspace.folder(f"states/{trial.name}/block-losses.json")
        losses: list[Mapping[str, Any]] = keep_json(stored, measure)
        advance(1)
    return losses
