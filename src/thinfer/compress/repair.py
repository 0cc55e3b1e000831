"""Refit the output projections of a cut model, block after block, to the original's residuals.

Walking from the first block to the last, both models read the same texts. With x̂ what enters the
cut block's projection, r the original's residual sum after the block and r̂ the cut model's residual
before it, the projection is refitted to

    min over Ŵ, b̂ of  Σ_t w_t ‖ r_t − r̂_t − Ŵ x̂_t − b̂ ‖²  +  λ ‖ Ŵ − W_K ‖²,

so each block also mends what the blocks before it lost. Where layers were dropped, the FFN before
them is fitted to the residual of the last one dropped and takes over that one's layer norm.
λ is chosen per block by the error on every fifth text, which the fit does not see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from thinfer.architecture import PruningMask
from thinfer.compress.reference import Reference
from thinfer.compress.ridge import RidgeFit, fit_ridge
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.surgery import cut
from thinfer.compress.walk import Packed, classify, embed, list_blocks
from thinfer.core.progress import Progress
from thinfer.errors import DataError, at
from thinfer.nn.encoder import EncoderClassifier

__all__ = ["Calibration", "refit"]

_CHECK_EVERY = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """What the repair reads.

    Attributes:
        packed: the texts.
        token_weights: how much each token counts, float32 `[2 * layers, tokens]`, by the blocks of
            the original.
    """

    packed: Packed
    token_weights: torch.Tensor


def refit(
    state: State,
    mask: PruningMask,
    calibration: Calibration,
    *,
    progress: Progress,
    refit_head: bool = True,
    student: State | None = None,
    reference: Reference | None = None,
) -> State:
    """Cut a state and refit what is left, in order, against the state before.

    Args:
        state: the state before; also the target.
        mask: what stays; at least one layer.
        calibration: texts and token weights.
        progress: told of each block done.
        refit_head: refit pooler and head to the original's too.
        student: the cut state to repair, where more than the mask's cut was done to it.
        reference: of the state and these texts, from a repair before.

    Returns:
        The cut and refitted state; its last report holds one entry per refit.

    Raises:
        DataError: the mask removes every layer.
    """
    if not any(mask.layers):
        what = "the mask removes every layer"
        raise DataError(what, expected="at least one layer that stays", got=str(mask.layers))
    goals = reference or Reference(state, calibration.packed)
    small = cut(state, mask) if student is None else student
    architecture, module = small.architecture, small.module()
    with torch.no_grad():
        notes, states = _refit_blocks(goals, module, mask, calibration, progress)
        if refit_head:
            notes |= _refit_end(goals, module, states, calibration.packed)
    details = {
        "layers": [[layer.heads, layer.ffn] for layer in architecture.layers],
        "refits": {name: fit.summary() for name, fit in notes.items()},
    }
    failed = [name for name, fit in notes.items() if fit.failed]
    report = StepReport(
        step="refit",
        outcome="degraded" if failed else "applied",
        reason=f"some ridges could not be factorised at {', '.join(failed)}" if failed else "",
        details=details,
    )
    return state.replace(report, weights=module.weights(), architecture=architecture)


def _refit_blocks(
    goals: Reference,
    student: EncoderClassifier,
    mask: PruningMask,
    calibration: Calibration,
    progress: Progress,
) -> tuple[dict[str, RidgeFit], torch.Tensor]:
    packed, notes = calibration.packed, {}
    check = _check_tokens(packed)
    ours = list_blocks(student)
    states = embed(student, packed)
    with progress.task("refit", len(ours)) as advance:
        for block, target in zip(ours, _targets(mask), strict=True):
            residual = goals.residual(target)
            block.norm.load_state_dict(goals.blocks[target].norm.state_dict())
            inputs = block.read(states, packed)
            # In this order, so that equal models leave exactly nothing.
            missing = residual - (states + block.project(inputs))
            weights = calibration.token_weights[target]
            name = f"layers.{block.layer}.{block.kind}"
            if bool(missing.any()):
                with at(block=name):
                    fit = fit_ridge(inputs, missing, weights, check)
                _apply(block.projection, fit)
                notes[name] = fit
            states = block.finish(states, inputs)
            advance(1)
    return notes, states


def _targets(mask: PruningMask) -> list[int]:
    kept = [index for index, stays in enumerate(mask.layers) if stays]
    last_before_next = [index - 1 for index in kept[1:]] + [len(mask.layers) - 1]
    pairs = zip(kept, last_before_next, strict=True)
    return [block for start, end in pairs for block in (2 * start, 2 * end + 1)]


def _refit_end(
    goals: Reference,
    student: EncoderClassifier,
    states: torch.Tensor,
    packed: Packed,
) -> dict[str, RidgeFit]:
    original, last = goals.module, goals.last()
    wanted, inputs = last[packed.first], states[packed.first]
    check = torch.arange(len(inputs)) % _CHECK_EVERY == 0
    even = torch.ones(len(inputs))
    notes: dict[str, RidgeFit] = {}
    outputs = {"pooler": original.pooler(wanted), "head": classify(original, last, packed)}
    for name, linear in (("pooler", student.pooler), ("head", student.head)):
        missing = outputs[name] - linear(inputs)
        if bool(missing.any()):
            with at(block=name):
                fit = fit_ridge(inputs, missing, even, check)
            _apply(linear, fit)
            notes[name] = fit
        inputs = torch.tanh(linear(inputs))
    return notes


def _check_tokens(packed: Packed) -> torch.Tensor:
    lengths = torch.diff(packed.first, append=torch.tensor([len(packed.ids)]))
    texts = torch.arange(len(lengths)).repeat_interleave(lengths)
    return texts % _CHECK_EVERY == 0  # neighbours in length: the check holds all lengths


def _apply(linear: nn.Module, fit: RidgeFit) -> None:
    if isinstance(linear, nn.Linear):
        linear.weight += torch.from_numpy(fit.weight.astype(np.float32))
    linear.get_parameter("bias").add_(torch.from_numpy(fit.bias.astype(np.float32)))
