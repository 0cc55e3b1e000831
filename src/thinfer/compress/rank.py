"""Build the ladders of a model: sensitivity, moments and the surgeon, one block at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.compress.calibrate import Moments, measure_moments, sample_rows
from thinfer.compress.headloss import Dense, measure_sizes
from thinfer.compress.headsize import SizedHeads, offer_options
from thinfer.compress.ladder import BlockMoments, Ladder, Ladders, offer_widths
from thinfer.compress.sensitivity import measure_sensitivity
from thinfer.compress.state import State
from thinfer.compress.surgeon import damp, eliminate_columns, eliminate_groups
from thinfer.compress.walk import Block, embed, list_blocks, pack
from thinfer.core.progress import Progress, SilentProgress
from thinfer.errors import UserError, at
from thinfer.nn.encoder import Attention
from thinfer.text.batch import Batch

__all__ = ["PruneSettings", "build_ladders"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneSettings:
    """How ladders are built.

    Attributes:
        max_tokens: most calibration tokens used; memory is about `max_tokens × (2 ffn + 6 hidden)`
            float32 values and six float64 `[ffn, ffn]` matrices, one block at a time.
        damping: ridge of the surgeon, as a part of the inputs' mean variance, > 0.
        neuron_step: largest distance of two FFN widths on offer, ≥ 1; a narrow FFN gets steps of
            16 or 32, so that there is a choice of about sixteen.
        keep_moments: keep `4 ffn²` and `4 (heads · value size)²` bytes a layer, for a search over
            stitched models.
        resize_heads: measure what smaller heads lose too; keeps `8 (heads · value size)²` bytes
            for each query-key size of a layer.
    """

    max_tokens: int = 32_768
    damping: float = 0.01
    neuron_step: int = 64
    keep_moments: bool = False
    resize_heads: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.neuron_step < 1 or not self.damping > 0.0:
            what = "the settings of pruning are impossible"
            expected = "max_tokens and neuron_step ≥ 1, damping > 0"
            raise UserError(what, expected=expected, got=str(self))


def build_ladders(
    state: State,
    calibration: Batch,
    *,
    rng: np.random.Generator,
    settings: PruneSettings | None = None,
    progress: Progress | None = None,
) -> Ladders:
    """Rank every head and neuron of every layer by what its removal costs after exact repair.

    Args:
        state: the model.
        calibration: texts like those in use, no labels needed; about 1,500 are enough.
        rng: draws the texts and the rival classes.
        settings: sizes and damping.
        progress: told of the work done.

    Returns:
        Ladders in one unit of loss: the predicted mean squared change of answer margins, each
        relative to its margin.
    """
    settings, progress = settings or PruneSettings(), progress or SilentProgress()
    rows = sample_rows(calibration, settings.max_tokens, rng)
    packed, module = pack(calibration, rows), state.module()
    felt = measure_sensitivity(
        module, packed, rng=rng, progress=progress, is_multi_label=state.is_multi_label
    )
    ladders: list[Ladder] = []
    kept: list[BlockMoments] = []
    sized: list[SizedHeads] = []
    with torch.no_grad(), progress.task("ladders", 2 * len(module.layers)) as advance:
        states = embed(module, packed)
        for index, block in enumerate(list_blocks(module)):
            inputs = block.read(states, packed)
            weights = torch.from_numpy(felt.token_weights[index])
            with at(layer=block.layer, block=block.kind):
                moments = measure_moments(inputs, weights)
                ladder, matrix = _climb(block, moments, felt.metrics[index], settings)
            ladders.append(ladder)
            if settings.resize_heads and block.kind == "heads":
                options = offer_options(state.architecture.layers[block.layer])
                found = SizedHeads.none()
                if options:
                    found = measure_sizes(
                        Dense(block, states, packed, weights),
                        matrix,
                        felt.metrics[index],
                        options,
                        order=ladder.order,
                        damping=ladder.damping,
                    )
                sized.append(found)
            if settings.keep_moments:
                kept.append(BlockMoments(matrix=matrix.astype(np.float32), mean=moments.mean_x))
            states = block.finish(states, inputs)
            advance(1)
    return Ladders(
        architecture=state.architecture,
        heads=tuple(ladders[0::2]),
        neurons=tuple(ladders[1::2]),
        token_weights=felt.token_weights,
        rows=rows,
        moments=tuple(kept),
        sized=tuple(sized),
    )


def _climb(
    block: Block, moments: Moments, metric: NDArray[np.float64], settings: PruneSettings
) -> tuple[Ladder, NDArray[np.float64]]:
    """Give the ladder of a block and the damped covariance that it was built on."""
    if block.is_empty:
        none = np.zeros(0, dtype=np.int64)
        empty = Ladder(
            layer=block.layer,
            kind=block.kind,
            order=none,
            widths=np.zeros(1, dtype=np.int64),
            errors=np.zeros(1),
            damping=settings.damping,
        )
        return empty, moments.cov_xx
    damped = damp(moments.cov_xx, settings.damping)
    weight = block.projection.get_parameter("weight").double().numpy()
    if isinstance(block.part, Attention):
        size = weight.shape[1] // block.part.heads
        gone = eliminate_groups(metric @ weight, damped.inverse, size)
    else:
        gone = eliminate_columns(metric @ weight, damped.inverse)
    count = len(gone.order)
    narrow = max(16, count // 256 * 16)
    step = 1 if block.kind == "heads" else min(settings.neuron_step, narrow)
    widths = offer_widths(count, step)
    ladder = Ladder(
        layer=block.layer,
        kind=block.kind,
        order=gone.order,
        widths=widths,
        errors=gone.errors[count - widths],
        damping=damped.ratio,
        is_degraded=damped.is_raised,
    )
    return ladder, damped.matrix
