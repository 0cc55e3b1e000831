"""The step that gives all heads of a layer fewer dimensions: query-key and value-output ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from thinfer.architecture import PruningMask
from thinfer.compress.calibrate import measure_moments, sample_rows
from thinfer.compress.headloss import Dense, measure_sizes
from thinfer.compress.headsize import HeadOption, SizedHeads
from thinfer.compress.rank import PruneSettings
from thinfer.compress.repair import Calibration, refit
from thinfer.compress.resize import cut_sized
from thinfer.compress.sensitivity import Sensitivity, measure_sensitivity
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.surgeon import damp
from thinfer.compress.walk import Packed, embed, list_blocks, pack
from thinfer.core.progress import Progress, SilentProgress
from thinfer.errors import UserError, at
from thinfer.text.batch import Batch

__all__ = ["reduce_ranks"]


def reduce_ranks(
    state: State,
    calibration: Batch,
    ranks: Sequence[tuple[int, int]],
    *,
    rng: np.random.Generator,
    settings: PruneSettings | None = None,
    is_refitted: bool = True,
    progress: Progress | None = None,
) -> tuple[State, StepReport]:
    """Reduce the rank of query-key and value-output in the heads of each layer.

    Args:
        state: the model.
        calibration: texts like those in use, no labels needed.
        ranks: `(query-key size, value size)` of each layer, 1 … what it has; what a layer without
            heads gets is not looked at.
        rng: draws the texts and the rival classes.
        settings: most tokens and damping.
        is_refitted: repair all projections in order afterwards; False leaves each reduced block
            fitted on the whole model's inputs.
        progress: told of the work done.

    Returns:
        The state with smaller heads and its report: sizes and predicted loss; `refused`, with the
        state as it was, where every rank asked for is the size already there.

    Raises:
        UserError: a rank is impossible, or there is not one pair a layer.
    """
    settings, progress = settings or PruneSettings(), progress or SilentProgress()
    options = _list_options(state, ranks)
    if not options:
        reason = "every rank asked for is the size that the heads have"
        report = StepReport(step="reduce-ranks", outcome="refused", reason=reason)
        return state.replace(report), report
    packed = pack(calibration, sample_rows(calibration, settings.max_tokens, rng))
    felt = measure_sensitivity(
        state.module(), packed, rng=rng, progress=progress, is_multi_label=state.is_multi_label
    )
    sized = _measure(state, packed, felt, options, settings.damping)
    mask = PruningMask.keep_all(state.architecture)
    small = cut_sized(state, mask, sized, options)
    if is_refitted:
        weights = torch.from_numpy(felt.token_weights)
        texts = Calibration(packed=packed, token_weights=weights)
        small = refit(state, mask, texts, progress=progress, student=small)
    last, layers = small.history[-1], small.architecture.layers
    details = {
        **last.details,
        "head_sizes": [[layer.qk_size, layer.value_size] for layer in layers],
        "predicted_loss": {str(layer): float(sized[layer].errors[0]) for layer in options},
    }
    report = StepReport(
        step="reduce-ranks", outcome=last.outcome, reason=last.reason, details=details
    )
    done = state.replace(report, weights=small.weights, architecture=small.architecture)
    return done, report


def _list_options(state: State, ranks: Sequence[tuple[int, int]]) -> dict[int, HeadOption]:
    """Give what is asked of each layer that changes."""
    layers = state.architecture.layers
    if len(ranks) != len(layers):
        what = "the ranks do not fit the model"
        raise UserError(what, expected=f"{len(layers)} pairs", got=str(ranks))
    options = {}
    for index, ((qk_size, value_size), layer) in enumerate(zip(ranks, layers, strict=True)):
        if not layer.heads or (qk_size, value_size) == (layer.qk_size, layer.value_size):
            continue
        if not (1 <= qk_size <= layer.qk_size and 1 <= value_size <= layer.value_size):
            what = f"no such rank in the heads of layer {index}"
            expected = f"query-key 1 … {layer.qk_size}, value 1 … {layer.value_size}"
            raise UserError(what, expected=expected, got=f"{qk_size}, {value_size}")
        options[index] = HeadOption(heads=layer.heads, qk_size=qk_size, value_size=value_size)
    return options


def _measure(
    state: State,
    packed: Packed,
    felt: Sensitivity,
    options: dict[int, HeadOption],
    damping: float,
) -> list[SizedHeads]:
    """Measure the one option of each layer on the whole model's inputs."""
    sized = [SizedHeads.none() for _ in state.architecture.layers]
    module = state.module()
    with torch.no_grad():
        states = embed(module, packed)
        for index, block in enumerate(list_blocks(module)):
            weights = torch.from_numpy(felt.token_weights[index])
            inputs = block.read(states, packed)
            if block.kind == "heads" and block.layer in options:
                with at(layer=block.layer, block=block.kind):
                    damped = damp(measure_moments(inputs, weights).cov_xx, damping)
                    option = options[block.layer]
                    sized[block.layer] = measure_sizes(
                        Dense(block, states, packed, weights),
                        damped.matrix,
                        felt.metrics[index],
                        [option],
                        order=np.arange(option.heads),
                        damping=damped.ratio,
                    )
            states = block.finish(states, inputs)
    return sized
