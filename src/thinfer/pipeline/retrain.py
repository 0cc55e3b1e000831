"""Retraining inside a run: the dense state teaches a narrower one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from thinfer.compress.augment import AugmentSettings, substitute_tokens
from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.state import State
from thinfer.nn.train import Encoded
from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.job import Job
from thinfer.text.batch import Batch

__all__ = ["Schooling", "plan_schooling", "recipe_of", "retrain"]

_EPOCHS = {"short": 2, "full": 5, "adaptive": 3}
_HALFWAY_EPOCHS = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schooling:
    """What a run's students learn from, and how.

    Attributes:
        train: labelled rows.
        dev: labelled rows that judge.
        more: unlabelled and augmented rows that the teacher answers, if any.
        augmented: how many of them are altered copies.
        settings: of the distillation.
    """

    train: Encoded
    dev: Encoded
    more: Batch | None
    augmented: int
    settings: DistillSettings


def plan_schooling(job: Job, teacher: State, *, is_halfway: bool = False) -> Schooling:
    """Give what the request asks of retraining.

    Args:
        job: the run; its unlabelled text takes part, and altered copies where asked for.
        teacher: its tokenizer is the students', its embedding knows which tokens are neighbours.
        is_halfway: the state is cut once more afterwards: one epoch is enough.
    """
    request, unlabelled = job.request, job.sets.unlabelled
    train = _encode(job.sets.train, teacher)
    parts = []
    if unlabelled is not None:
        parts.append(teacher.tokenizer.encode(unlabelled.texts, unlabelled.pairs).batch)
    augmented = 0
    if request.augment:
        settings = AugmentSettings(copies=request.augment, seed=request.seed)
        parts.append(substitute_tokens(train.batch, teacher, settings))
        augmented = len(parts[-1])
    return Schooling(
        train=train,
        dev=_encode(job.sets.dev, teacher),
        more=Batch.concatenate(parts) if parts else None,
        augmented=augmented,
        settings=recipe_of(request.retrain, seed=request.seed, is_halfway=is_halfway),
    )


def recipe_of(retrain: str, *, seed: int, is_halfway: bool = False) -> DistillSettings:
    """Give the settings that a kind of retraining stands for.

    Args:
        retrain: `short`, `full` or `adaptive`.
        seed: of the order of the rows.
        is_halfway: the state is cut once more afterwards: one epoch is enough.
    """
    epochs = _HALFWAY_EPOCHS if is_halfway else _EPOCHS[retrain]
    base = DistillSettings()
    return replace(base, train=replace(base.train, epochs=epochs, seed=seed))


def retrain(job: Job, small: State, teacher: State, *, is_halfway: bool = False) -> State:
    """Distil a teacher into a narrower state, as far as the request asks for it.

    Args:
        job: the run.
        small: the student.
        teacher: with the same vocabulary.
        is_halfway: the state is cut once more afterwards.

    Returns:
        The retrained state, or the same one where none was asked for or it did not help; the
        last report says so.
    """
    if job.request.retrain == "none":
        return small
    school = plan_schooling(job, teacher, is_halfway=is_halfway)
    trained, report = distill(
        small,
        teacher,
        school.train,
        dev=school.dev,
        unlabelled=school.more,
        settings=replace(
            school.settings, train=replace(school.settings.train, max_minutes=job.minutes_left())
        ),
        progress=job.progress,
        clock=job.clock,
    )
    report = replace(report, details={**report.details, "augmented_rows": school.augmented})
    return replace(trained, history=(*small.history, report))


def _encode(part: LabelledSet, state: State) -> Encoded:
    return Encoded(batch=part.encode(state.tokenizer).batch, targets=part.truth)
