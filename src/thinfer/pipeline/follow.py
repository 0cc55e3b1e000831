"""Follow a recipe: from the dense state, step by step, to the state named `recipe`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.embedding import prune_positions
from thinfer.compress.layers import choose_layers
from thinfer.compress.prune import PruneTarget, build_ladders, prune_to
from thinfer.compress.sparsify import (
    GradualSettings,
    Lesson,
    SparsifySettings,
    parse_pattern,
    sparsify,
    sparsify_gradually,
)
from thinfer.compress.state import State
from thinfer.errors import UserError, at
from thinfer.nn.train import Encoded
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.cutter import Cutter
from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.job import Job
from thinfer.pipeline.latency import LatencyTable
from thinfer.pipeline.recipe import (
    DistillStep,
    LayerDropStep,
    MaxLengthStep,
    PruneStep,
    Recipe,
    SparsifyStep,
)
from thinfer.text.batch import Batch

__all__ = ["check_recipe", "follow_recipe"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kitchen:
    """What the steps share.

    Attributes:
        job: the run; without `--retrain`, for a recipe says itself when it distils.
        dense: the form of the dense state that speed-ups are measured against; also the teacher.
        table: prices of widths.
        keep_table: called when the table has learned.
    """

    job: Job
    dense: Candidate
    table: LatencyTable | None
    keep_table: Callable[[LatencyTable], None]


def check_recipe(recipe: Recipe) -> None:
    """Check the values that belong to the steps' own settings.

    Args:
        recipe: read from a file or built by hand.

    Raises:
        UserError: a value is out of its range; the message names the step.
    """
    for place, step in enumerate(recipe.steps, 1):
        with at(step=place):
            if isinstance(step, SparsifyStep):
                _zeros_of(step)
                if step.epochs < 0:
                    what = "the epochs of a gradual sparsification are impossible"
                    raise UserError(what, expected="0 (at once) or more", got=str(step.epochs))
                if step.epochs:
                    _gradual_of(step, seed=0)
            elif isinstance(step, DistillStep):
                _distill_of(step, seed=0)
            elif isinstance(step, MaxLengthStep) and step.tokens < 3:
                what = "the longest sequence leaves no room for text"
                raise UserError(what, expected="tokens of 3 or more", got=str(step.tokens))


def follow_recipe(
    job: Job,
    dense: Candidate,
    table: LatencyTable | None,
    keep_table: Callable[[LatencyTable], None],
    recipe: Recipe,
) -> State:
    """Give the state that a recipe makes of the dense one.

    Args:
        job: the run.
        dense: the form of the dense state that speed-ups are measured against.
        table: prices of widths in that form; counted work when absent.
        keep_table: called with the table when it has learned what to aim at.
        recipe: checked steps.

    Returns:
        The state; its history has one report for each step, refused ones included.
    """
    quiet = replace(job, request=replace(job.request, retrain="none"))
    kitchen = _Kitchen(job=quiet, dense=dense, table=table, keep_table=keep_table)
    state = dense.state
    for place, step in enumerate(recipe.steps, 1):
        job.progress.note(f"recipe, step {place} of {len(recipe.steps)}: {step.NAME}")
        with at(recipe=f"step {place}, {step.NAME}"):
            if isinstance(step, LayerDropStep):
                state = _drop_layers(kitchen, state, step)
            elif isinstance(step, PruneStep):
                state = _prune(kitchen, state, step)
            elif isinstance(step, SparsifyStep):
                state = _sparsify(kitchen, state, step)
            elif isinstance(step, DistillStep):
                state = _distil(kitchen, state, step)
            else:
                before = state
                state, report = prune_positions(state, step.tokens)
                state = state if state is not before else state.replace(report)
    return state


def _drop_layers(kitchen: _Kitchen, state: State, step: LayerDropStep) -> State:
    job, depth = kitchen.job, len(state.architecture.layers)
    if any(layer >= depth for layer in step.layers) or len(step.layers) == depth:
        what = "the layers to drop do not fit the model"
        raise UserError(what, expected=f"some of 0 … {depth - 1}, not all", got=str(step.layers))
    batch = job.calibration(state.tokenizer)
    layers = step.layers or choose_layers(
        state, batch, step.count, rng=job.rng(), progress=job.progress
    )
    ladders = build_ladders(state, batch, rng=job.rng(), progress=job.progress)
    widths = tuple((layer.heads, layer.ffn) for layer in state.architecture.layers)
    target = PruneTarget(widths=widths, drop_layers=tuple(layers))
    return prune_to(state, ladders, batch, target, progress=job.progress)[0]


def _prune(kitchen: _Kitchen, state: State, step: PruneStep) -> State:
    start = replace(kitchen.dense, state=state)
    cutter = Cutter(kitchen.job, start, kitchen.table, kitchen.keep_table)
    return cutter.to_width(step.part) if step.speedup is None else cutter.to_speedup(step.speedup)


def _sparsify(kitchen: _Kitchen, state: State, step: SparsifyStep) -> State:
    job = kitchen.job
    calibration = job.calibration(state.tokenizer)
    if not step.epochs:
        small, report = sparsify(
            state, calibration, _zeros_of(step), rng=job.rng(), progress=job.progress
        )
    else:
        lesson = Lesson(
            teacher=kitchen.dense.state,
            train=_encode(job.sets.train, state),
            dev=_encode(job.sets.dev, state),
            unlabelled=_more(job, state),
            calibration=calibration,
        )
        small, report = sparsify_gradually(
            state,
            lesson,
            _gradual_of(step, seed=job.request.seed),
            rng=job.rng(),
            progress=job.progress,
            clock=job.clock,
        )
    return small if report.outcome != "refused" else state.replace(report)


def _distil(kitchen: _Kitchen, state: State, step: DistillStep) -> State:
    job = kitchen.job
    small, report = distill(
        state,
        kitchen.dense.state,
        _encode(job.sets.train, state),
        dev=_encode(job.sets.dev, state),
        unlabelled=_more(job, state),
        settings=_distill_of(step, seed=job.request.seed),
        progress=job.progress,
        clock=job.clock,
    )
    return small if report.outcome != "refused" else state.replace(report)


def _zeros_of(step: SparsifyStep) -> SparsifySettings:
    """Give the settings of a step; an `N:M` pattern says by itself how many zeros there are."""
    pattern = parse_pattern(step.pattern)
    is_grouped = pattern.group > 1
    if step.sparsity is None and not is_grouped:
        what = "how many weights become zero is not said"
        raise UserError(what, expected="'sparsity' of 0 … 1", got=f"pattern {pattern.name} alone")
    if is_grouped and step.sparsity not in (None, pattern.most):
        what = f"the sparsity contradicts the pattern {pattern.name}"
        raise UserError(what, expected=f"{pattern.most:g}, or left out", got=f"{step.sparsity:g}")
    return SparsifySettings(
        sparsity=pattern.most if step.sparsity is None else step.sparsity,
        method=step.method,
        pattern=pattern,
        allocation=step.allocation,
        block_size=step.block_size,
    )


def _gradual_of(step: SparsifyStep, *, seed: int) -> GradualSettings:
    learning = DistillStep(epochs=step.epochs, learning_rate=step.learning_rate)
    return GradualSettings(
        zeros=_zeros_of(step), distill=_distill_of(learning, seed=seed), ramp=step.ramp
    )


def _distill_of(step: DistillStep, *, seed: int) -> DistillSettings:
    usual = DistillSettings()
    return replace(
        usual,
        train=replace(
            usual.train,
            epochs=step.epochs,
            learning_rate=step.learning_rate,
            batch_size=step.batch_size,
            seed=seed,
        ),
        temperature=step.temperature,
        alpha=step.alpha,
        hidden_weight=step.hidden_weight,
    )


def _more(job: Job, state: State) -> Batch | None:
    more = job.sets.unlabelled
    return state.tokenizer.encode(more.texts, more.pairs).batch if more else None


def _encode(part: LabelledSet, state: State) -> Encoded:
    return Encoded(batch=part.encode(state.tokenizer).batch, targets=part.truth)
