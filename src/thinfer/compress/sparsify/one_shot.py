"""The step `sparsify`: choose zeros in the encoder's matrices at once, and mend what stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinfer.compress.calibrate import sample_rows
from thinfer.compress.sparsify.fisher import (
    BlockFisher,
    damp_fisher,
    measure_fisher,
    score_fisher,
    update_fisher,
)
from thinfer.compress.sparsify.pattern import Pattern, choose_stays
from thinfer.compress.sparsify.reconstruction import rebuild_matrices
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.walk import pack
from thinfer.compress.zeros import count_zeros, find_mask, list_matrices
from thinfer.core.progress import Progress, SilentProgress
from thinfer.errors import UserError, at
from thinfer.text.batch import Batch

__all__ = ["METHODS", "SparsifySettings", "sparsify"]

METHODS = ("magnitude", "second_order", "reconstruction")

_Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SparsifySettings:
    """Which weights become zero.

    Attributes:
        sparsity: share of zeros in the matrices that are changed, 0 … 1.
        method: `magnitude`: the smallest go, the others stay as they are; `second_order`: block
            Fisher of the answers (Kurtic et al. 2022), what stays moves; `reconstruction`: each
            matrix keeps its own output (Frantar and Alistarh 2023), what stays moves.
        pattern: how zeros may lie.
        allocation: `uniform`: every matrix has the same share; `global`: one ranking for all,
            which needs losses in one unit and so is not there for `reconstruction`.
        block_size: inputs of a Fisher block, a multiple of the pattern's block; `4 · block_size`
            bytes are held for each weight of one layer.
        damping: ridge, as a part of the mean diagonal, > 0.
        max_tokens: most calibration tokens used.
    """

    sparsity: float
    method: Literal["magnitude", "second_order", "reconstruction"] = "second_order"
    pattern: Pattern = field(default_factory=Pattern)
    allocation: Literal["uniform", "global"] = "uniform"
    block_size: int = 32
    damping: float = 0.01
    max_tokens: int = 16_384

    def __post_init__(self) -> None:
        problems = (
            (not 0.0 <= self.sparsity <= 1.0, "a sparsity of 0 … 1", self.sparsity),
            (self.method not in METHODS, f"a method of {list(METHODS)}", self.method),
            (self.allocation not in ("uniform", "global"), "uniform or global", self.allocation),
            (
                self.sparsity > self.pattern.most,
                f"at most {self.pattern.most:g} zeros with the pattern {self.pattern.name}",
                self.sparsity,
            ),
            (
                self.block_size < 1 or self.block_size % self.pattern.block > 0,
                f"a block size that is a multiple of {self.pattern.block}",
                self.block_size,
            ),
            (not self.damping > 0.0 or self.max_tokens < 1, "damping and tokens over 0", "less"),
            (
                (self.method, self.allocation) == ("reconstruction", "global"),
                "uniform allocation: losses of outputs of different layers have no common unit",
                "global",
            ),
        )
        for is_bad, expected, got in problems:
            if is_bad:
                what = "the settings of sparsification are impossible"
                raise UserError(what, expected=expected, got=str(got))


def sparsify(
    state: State,
    calibration: Batch,
    settings: SparsifySettings,
    *,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> tuple[State, StepReport]:
    """Set weights of the encoder's matrices to zero; nothing is trained.

    Args:
        state: the state before; zeros that an earlier such step made stay.
        calibration: texts like those in use, no labels; not read for `magnitude`.
        settings: which, and how many.
        rng: draws texts and pairs of classes.
        progress: told of each matrix done.

    Returns:
        The sparse state, and the report with the share of zeros by kind of matrix. Degraded where
        a matrix was left whole, because its rows are no multiple of the pattern, or where a
        factorisation needed more damping; refused where there is no matrix at all.

    Raises:
        DataError: gradients or moments are not finite, or cannot be factorised.
    """
    progress = progress or SilentProgress()
    every = list_matrices(state.weights)
    step = settings.pattern.step
    fitting = [name for name in every if state.weights[name].shape[1] % step == 0]
    if not fitting:
        reason = f"no matrix has rows that are a multiple of {step}"
        return state, StepReport(step="sparsify", outcome="refused", reason=reason)
    left = [name.removesuffix(".weight") for name in every if name not in fitting]
    reasons = [f"left whole, rows no multiple of {step}: {', '.join(left)}"] if left else []
    before = find_mask(state)
    may_stay = {
        name: before.get(name, np.ones(state.weights[name].shape, dtype=np.bool_))
        for name in fitting
    }
    with progress.task(f"zeros by {settings.method}", len(fitting)) as advance, torch.no_grad():
        work = _Work(state=state, settings=settings, may_stay=may_stay, tell=lambda: advance(1))
        if settings.method == "magnitude":
            changed = _by_magnitude(work)
        else:
            texts = calibration.select(sample_rows(calibration, settings.max_tokens, rng))
            by_method = _by_fisher if settings.method == "second_order" else _by_reconstruction
            changed, notes = by_method(work, texts, rng)
            reasons += notes
    weights = {**state.weights, **changed}
    report = StepReport(
        step="sparsify",
        outcome="degraded" if reasons else "applied",
        reason="; ".join(reasons),
        details={
            "method": settings.method,
            "pattern": settings.pattern.name,
            "allocation": settings.allocation,
            "asked": settings.sparsity,
            **count_zeros(weights),
        },
    )
    return state.replace(report, weights=weights), report


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """What the two second-order methods share."""

    state: State
    settings: SparsifySettings
    may_stay: Mapping[str, NDArray[np.bool_]]
    tell: Callable[[], None]

    def weight(self, name: str) -> Tensor:
        return torch.from_numpy(np.array(self.state.weights[name]))

    def stays(self, scores: Mapping[str, Tensor], *, is_global: bool) -> dict[str, Tensor]:
        """Choose, earlier zeros first, whatever a method's score of them is."""
        allowed = {name: torch.from_numpy(self.may_stay[name]) for name in scores}
        masked = {name: score * allowed[name] for name, score in scores.items()}
        asked = self.settings
        chosen = choose_stays(masked, asked.pattern, asked.sparsity, is_global=is_global)
        return {name: stays & allowed[name] for name, stays in chosen.items()}


def _by_magnitude(work: _Work) -> _Arrays:
    scores = {name: work.weight(name).square() for name in work.may_stay}
    chosen = work.stays(scores, is_global=work.settings.allocation == "global")
    return {
        name: work.weight(name).masked_fill_(~stays, 0.0).numpy() for name, stays in chosen.items()
    }


def _by_fisher(work: _Work, texts: Batch, rng: np.random.Generator) -> tuple[_Arrays, list[str]]:
    """Choose by the Fisher blocks; one ranking for all matrices takes a sweep of its own."""
    settings, notes = work.settings, dict[str, str]()
    seed = int(rng.integers(2**31))

    def sweep() -> Iterator[tuple[str, BlockFisher]]:
        blocks = measure_fisher(
            work.state.module(),
            texts,
            pad_id=work.state.pad_id,
            size=settings.block_size,
            rng=np.random.default_rng(seed),
            is_multi_label=work.state.is_multi_label,
        )
        for name, matrices in blocks:
            if name in work.may_stay:
                with at(matrix=name):
                    fisher = damp_fisher(matrices, settings.damping)
                if fisher.note:
                    notes[name] = f"{name.removesuffix('.weight')}: {fisher.note}"
                yield name, fisher

    chosen: dict[str, Tensor] = {}
    if settings.allocation == "global":
        scores = {
            name: score_fisher(work.weight(name), fisher, settings.pattern)
            for name, fisher in sweep()
        }
        chosen = work.stays(scores, is_global=True)
    changed: _Arrays = {}
    for name, fisher in sweep():
        weight = work.weight(name)
        stays = chosen.get(name)
        if stays is None:
            score = score_fisher(weight, fisher, settings.pattern)
            stays = work.stays({name: score}, is_global=False)[name]
        changed[name] = update_fisher(weight, fisher, stays).numpy()
        work.tell()
    return changed, list(notes.values())


def _by_reconstruction(
    work: _Work, texts: Batch, rng: np.random.Generator
) -> tuple[_Arrays, list[str]]:
    del rng
    module, settings = work.state.module(), work.settings
    notes = []
    rebuilt = rebuild_matrices(
        module,
        pack(texts, np.argsort(texts.lengths, kind="stable")),
        pattern=settings.pattern,
        sparsity=settings.sparsity,
        damping=settings.damping,
        names=work.may_stay,
    )
    for done in rebuilt:
        if done.is_raised:
            notes.append(f"{done.name.removesuffix('.weight')}: damping raised to {done.damping:g}")
        work.tell()
    weights = module.weights()
    biases = [name.removesuffix("weight") + "bias" for name in work.may_stay]
    return {name: weights[name] for name in (*work.may_stay, *biases)}, notes
