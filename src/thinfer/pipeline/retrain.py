"""Retraining inside a run: the dense state teaches a narrower one."""

from __future__ import annotations

from dataclasses import replace

from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.state import State
from thinfer.nn.train import Encoded
from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.job import Job

__all__ = ["retrain"]

_EPOCHS = {"short": 2, "full": 5}
_HALFWAY_EPOCHS = 1


def retrain(job: Job, small: State, teacher: State, *, is_halfway: bool = False) -> State:
    """Distil a teacher into a narrower state, as far as the request asks for it.

    Args:
        job: the run; its unlabelled text takes part.
        small: the student.
        teacher: with the same vocabulary.
        is_halfway: the state is cut once more afterwards: one epoch is enough.

    Returns:
        The retrained state, or the same one where none was asked for or it did not help; the
        last report says so.
    """
    if job.request.retrain == "none":
        return small
    epochs = _HALFWAY_EPOCHS if is_halfway else _EPOCHS[job.request.retrain]
    more = job.sets.unlabelled
    trained, report = distill(
        small,
        teacher,
        _encode(job.sets.train, small),
        dev=_encode(job.sets.dev, small),
        unlabelled=small.tokenizer.encode(more.texts, more.pairs).batch if more else None,
        settings=DistillSettings(
            train=replace(
                DistillSettings().train,
                epochs=epochs,
                seed=job.request.seed,
                max_minutes=job.minutes_left(),
            )
        ),
        progress=job.progress,
        clock=job.clock,
    )
    if report.outcome == "refused":  # the state came back as it was, without the report
        return replace(trained, history=(*trained.history, report))
    return trained


def _encode(part: LabelledSet, state: State) -> Encoded:
    return Encoded(batch=part.encode(state.tokenizer).batch, targets=part.truth)
