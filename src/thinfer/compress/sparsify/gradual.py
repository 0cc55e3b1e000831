"""Little by little: the share of zeros rises while the dense state teaches what is left.

The share follows a cubic ramp, s(t) = s_end + (s_start − s_end)(1 − t)³ with t from 0 to 1 (Zhu
and Gupta 2017, "To prune, or not to prune", section 3): fast while many weights are superfluous,
slow near the end. Magnitudes are cheap and are looked at all along one training; a second-order
choice costs passes over the texts, so that it alternates with an epoch of training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.sparsify.one_shot import SparsifySettings, sparsify
from thinfer.compress.sparsify.pattern import choose_stays
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.zeros import count_zeros, find_mask, list_matrices
from thinfer.core.clock import Clock
from thinfer.core.progress import Progress
from thinfer.errors import UserError
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.loss import Constraint
from thinfer.nn.train import Encoded
from thinfer.text.batch import Batch

__all__ = ["GradualSettings", "Lesson", "ramp_sparsity", "sparsify_gradually"]

_UPDATES = 32  # times that a ramp of magnitudes chooses anew


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """What a state learns from while its weights become zero.

    Attributes:
        teacher: the dense state, with the same vocabulary.
        train: texts with labels.
        dev: texts with labels, of which the report counts the right answers.
        unlabelled: more texts.
        calibration: texts of the second-order methods.
    """

    teacher: State
    train: Encoded
    dev: Encoded
    unlabelled: Batch | None
    calibration: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class GradualSettings:
    """How fast weights become zero.

    Attributes:
        zeros: what is reached in the end.
        distill: how is learned; its `epochs` are those of the whole ramp.
        ramp: part of the training in which the share rises, above 0 … 1; then the zeros stay and
            the others settle.
    """

    zeros: SparsifySettings
    distill: DistillSettings = field(default_factory=DistillSettings)
    ramp: float = 0.7

    def __post_init__(self) -> None:
        if not 0.0 < self.ramp <= 1.0:
            what = "the ramp of a gradual sparsification is impossible"
            raise UserError(what, expected="a part above 0, at most 1", got=str(self.ramp))


def ramp_sparsity(done: float, start: float, end: float) -> float:
    """Give the share of zeros at a point of the cubic ramp.

    Args:
        done: part of the ramp, 0 … 1; more counts as 1.
        start: share at 0.
        end: share at 1.
    """
    return end + (start - end) * (1.0 - min(1.0, max(0.0, done))) ** 3


def sparsify_gradually(
    state: State,
    lesson: Lesson,
    settings: GradualSettings,
    *,
    rng: np.random.Generator,
    progress: Progress,
    clock: Clock,
) -> tuple[State, StepReport]:
    """Make a state sparse in the course of a distillation.

    Args:
        state: the state before, dense or less sparse.
        lesson: teacher and texts.
        settings: how far, and how fast.
        rng: draws texts and pairs of classes.
        progress: told of batches and epochs.
        clock: for the training's time limit.

    Returns:
        The sparse state, and one report on it; refused where there is no matrix to be made sparse;
        degraded where a matrix was left whole, a factorisation needed help, or time ran out.
    """
    plain = replace(settings.zeros, method="magnitude")  # tells what fits, at no price
    _, told = sparsify(state, lesson.calibration, plain, rng=rng)
    if told.outcome == "refused":
        return state, told
    reasons = [told.reason] if told.reason else []
    start = float(count_zeros(state.weights)["share"])
    if settings.zeros.method == "magnitude":
        trained, notes, details = _in_one_training(
            state, lesson, settings, start=start, progress=progress, clock=clock
        )
        # The same choice once more on the trained weights: what the ramp has set to 0 goes first.
        small, _ = sparsify(trained, lesson.calibration, settings.zeros, rng=rng)
        if count_zeros(small.weights)["zeros"] > count_zeros(trained.weights)["zeros"]:
            notes.append("training ended before its ramp did")
    else:
        small, notes, details = _in_stages(
            state, lesson, settings, start=start, rng=rng, progress=progress, clock=clock
        )
    reasons += [note for note in notes if note not in reasons]
    report = StepReport(
        step="sparsify",
        outcome="degraded" if reasons else "applied",
        reason="; ".join(reasons),
        details={
            "method": settings.zeros.method,
            "pattern": settings.zeros.pattern.name,
            "allocation": settings.zeros.allocation,
            "asked": settings.zeros.sparsity,
            "ramp": settings.ramp,
            **details,
            **count_zeros(small.weights),
        },
    )
    return replace(small, history=(*state.history, report)), report


class _Ramp:
    """Chooses by magnitude anew at points along the ramp, and sets to 0 after every step.

    Args:
        names: of the matrices.
        settings: pattern, share, allocation, part of the training.
        earlier: what an earlier step left of each matrix; its zeros stay.
        start: share of zeros at the beginning.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        settings: GradualSettings,
        earlier: Mapping[str, Tensor],
        start: float,
    ) -> None:
        self._names = names
        self._settings = settings
        self._earlier = earlier
        self._start = start
        self._place = -1
        self._stays: dict[str, Tensor] = {}

    def apply(self, model: EncoderClassifier, done: float) -> None:
        """Choose anew where it is time, and set to 0.

        Args:
            model: changed in place.
            done: part of the training, above 0 … 1.
        """
        weights = {name: model.get_parameter(name).detach() for name in self._names}
        # A hair more: (k / n) / ramp must not fall below the place that it stands for.
        place = min(_UPDATES, int(done / self._settings.ramp * _UPDATES + 1e-9))
        if place > self._place:
            self._place = place
            zeros = self._settings.zeros
            share = ramp_sparsity(place / _UPDATES, self._start, zeros.sparsity)
            scores = {name: weight.square() for name, weight in weights.items()}
            is_global = zeros.allocation == "global"
            chosen = choose_stays(scores, zeros.pattern, share, is_global=is_global)
            for name, stays in chosen.items():
                before = self._earlier.get(name)
                self._stays[name] = stays if before is None else stays & before.to(stays.device)
        for name, weight in weights.items():
            weight.masked_fill_(~self._stays[name], 0.0)


def _in_one_training(
    state: State,
    lesson: Lesson,
    settings: GradualSettings,
    *,
    start: float,
    progress: Progress,
    clock: Clock,
) -> tuple[State, list[str], dict[str, Any]]:
    names = tuple(name for name in list_matrices(state.weights) if _fits(state, name, settings))
    earlier = {name: torch.from_numpy(stays) for name, stays in find_mask(state).items()}
    ramp = _Ramp(names, settings, earlier, start)
    constraint = Constraint(apply=ramp.apply, is_gradual=True)
    trained, told = _distill(
        state, lesson, replace(settings.distill, constraint=constraint), progress, clock
    )
    details = {key: told.details[key] for key in ("rows", "epochs", "stopped", "dev_rows")}
    details |= {"dev_right": [told.details["dev_right_before"], told.details["dev_right_after"]]}
    return trained, [], details


def _fits(state: State, name: str, settings: GradualSettings) -> bool:
    return int(state.weights[name].shape[1]) % settings.zeros.pattern.step == 0


def _in_stages(
    state: State,
    lesson: Lesson,
    settings: GradualSettings,
    *,
    start: float,
    rng: np.random.Generator,
    progress: Progress,
    clock: Clock,
) -> tuple[State, list[str], dict[str, Any]]:
    train, notes = settings.distill.train, list[str]()
    right: list[int] = []
    for stage in range(1, train.epochs + 1):
        share = ramp_sparsity(stage / train.epochs / settings.ramp, start, settings.zeros.sparsity)
        zeros = replace(settings.zeros, sparsity=share)
        state, told = sparsify(state, lesson.calibration, zeros, rng=rng, progress=progress)
        notes += [told.reason] if told.reason else []
        lone = replace(train, epochs=1, seed=train.seed + stage)
        state, taught = _distill(
            state, lesson, replace(settings.distill, train=lone), progress, clock
        )
        notes += [f"stage {stage}: {taught.reason}"] if taught.reason else []
        right += [taught.details["dev_right_before"], taught.details["dev_right_after"]]
    details = {"rows": taught.details["rows"], "epochs": train.epochs, "dev_right": right}
    return state, notes, {**details, "dev_rows": taught.details["dev_rows"]}


def _distill(
    state: State, lesson: Lesson, settings: DistillSettings, progress: Progress, clock: Clock
) -> tuple[State, StepReport]:
    return distill(
        state,
        lesson.teacher,
        lesson.train,
        dev=lesson.dev,
        unlabelled=lesson.unlabelled,
        settings=settings,
        progress=progress,
        clock=clock,
    )
