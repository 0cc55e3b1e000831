"""Retraining of a pruned state against its teacher: outer answers and inner states."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.lesson import answer_rows, as_checkpoint, find_right
from thinfer.compress.objective import DistillSettings, make_objectives
from thinfer.compress.relations import choose_pair
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.zeros import hold_zeros
from thinfer.core.clock import Clock
from thinfer.core.progress import Progress
from thinfer.errors import DataError
from thinfer.nn.loss import Objective
from thinfer.nn.train import Encoded, train_classifier
from thinfer.text.batch import Batch

__all__ = ["DistillSettings", "distill"]


def distill(
    state: State,
    teacher: State,
    train: Encoded,
    *,
    dev: Encoded,
    unlabelled: Batch | None = None,
    settings: DistillSettings,
    progress: Progress,
    clock: Clock,
) -> tuple[State, StepReport]:
    """Retrain a state towards its teacher, and keep it unless `dev` shows harm.

    Args:
        state: the student; its token ids are the teacher's.
        teacher: the state before pruning, with the same vocabulary.
        train: texts with labels.
        dev: texts with labels that choose the epoch.
        unlabelled: more texts; the teacher's answers stand in for their labels.
        settings: how.
        progress: told of batches and epochs.
        clock: for the time limit.

    Returns:
        The retrained state and its report; refused, with the state unchanged, when the best epoch
        answers fewer of `dev` right than the state did before, by more than one standard error
        of the paired difference; degraded when relations were asked for and no layer has any. A
        gradual constraint takes the last epoch, which is never refused.

    Raises:
        DataError: student and teacher have another vocabulary, or other labels.
    """
    _check_fits(state, teacher)
    master = teacher.module().requires_grad_(False)
    labelled = len(train.batch)
    several = state.is_multi_label
    train, taught = answer_rows(
        master, train, unlabelled, pad_id=teacher.pad_id, is_multi_label=several
    )
    pair = choose_pair(state.architecture, teacher.architecture, settings.relation_layers)
    (loss_fn,) = make_objectives(
        master, train.targets, taught, settings=settings, pairs=[pair], is_multi_label=several
    )
    before = find_right(state, dev)
    constraint = settings.constraint or hold_zeros(state)
    is_gradual = constraint is not None and constraint.is_gradual
    trained, told = train_classifier(
        as_checkpoint(state),
        train,
        dev=None if is_gradual else dev,
        settings=settings.train,
        progress=progress,
        clock=clock,
        loss_fn=Objective(loss_fn=loss_fn, constraint=constraint) if constraint else loss_fn,
    )
    after = find_right(state, dev, model=trained.model)
    details = {
        "rows": len(train.batch),
        "unlabelled_rows": len(train.batch) - labelled,
        "epochs": told.epochs,
        "best_epoch": told.best_epoch,
        "stopped": told.stopped,
        "dev_right_before": int(before.sum()),
        "dev_right_after": int(after.sum()),
        "dev_rows": len(dev.batch),
        "relation_layers": pair if settings.relation_weight else None,
    }
    if _is_worse(before, after) and not is_gradual:
        counts = f"{after.sum()} of {len(after)} dev texts right, before {before.sum()}"
        reason = f"retraining answered {counts}"
        return state, StepReport(step="distill", outcome="refused", reason=reason, details=details)
    report = StepReport(step="distill", outcome="applied", details=details)
    if settings.relation_weight and pair is None:
        reason = "attention relations were left out: no layer of both models has attention"
        report = replace(report, outcome="degraded", reason=reason)
    return state.replace(report, weights=trained.model.weights()), report


def _check_fits(state: State, teacher: State) -> None:
    theirs, ours = (
        f"{each.architecture.vocab} token rows, labels {each.labels}" for each in (teacher, state)
    )
    if ours != theirs:
        what = "the student does not fit its teacher"
        raise DataError(what, expected=theirs, got=ours, do="prune the vocabulary after it")


def _is_worse(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> bool:
    """Say whether retraining harmed, beyond what rows that turned either way do by chance.

    It mostly helps, so a small dev set that says otherwise by a few rows is not believed.
    """
    lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
    return lost - gained > math.sqrt(lost + gained)
