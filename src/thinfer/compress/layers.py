"""Which whole layers to drop: those whose absence moves the answers least, tried out one by one."""

from __future__ import annotations

import numpy as np
import torch

from thinfer.compress.calibrate import sample_rows
from thinfer.compress.state import State
from thinfer.compress.walk import classify, embed, list_blocks, pack, run_blocks
from thinfer.core.progress import Progress, SilentProgress
from thinfer.errors import UserError
from thinfer.nn.loss import log_scores
from thinfer.text.batch import Batch

__all__ = ["choose_layers"]


def choose_layers(
    state: State,
    calibration: Batch,
    count: int,
    *,
    rng: np.random.Generator,
    max_tokens: int = 8192,
    progress: Progress | None = None,
) -> tuple[int, ...]:
    """Choose layers to drop, greedily, by the change of the answers without them.

    Args:
        state: the model.
        calibration: texts like those in use, no labels needed.
        count: layers to drop, 0 … all but one.
        rng: draws the texts.
        max_tokens: most calibration tokens used.
        progress: told of each trial.

    Returns:
        Indices of layers, rising. The change is the mean KL divergence of the answers' chances from
        the whole model's, nothing refitted.

    Raises:
        UserError: `count` is negative or leaves no layer.
    """
    layers = len(state.architecture.layers)
    if not 0 <= count < layers:
        what = "no such number of layers can be dropped"
        raise UserError(what, expected=f"0 … {layers - 1}", got=str(count))
    packed = pack(calibration, sample_rows(calibration, max_tokens, rng))
    module = state.module()
    blocks = list_blocks(module)
    start = embed(module, packed).detach()

    def answer(dropped: frozenset[int]) -> torch.Tensor:
        left = [block for block in blocks if block.layer not in dropped]
        logits = classify(module, run_blocks(left, start, packed), packed)
        return log_scores(logits, is_multi_label=state.is_multi_label)

    dropped: frozenset[int] = frozenset()
    trials = sum(layers - done for done in range(count))
    with torch.no_grad(), (progress or SilentProgress()).task("layers", trials) as advance:
        whole = answer(dropped)
        for _ in range(count):
            changes: dict[int, float] = {}
            for layer in sorted(set(range(layers)) - dropped):
                gap = whole - answer(dropped | {layer})
                changes[layer] = float((whole.exp() * gap).sum(1).mean())
                advance(1)
            dropped |= {min(changes, key=lambda layer: changes[layer])}
    return tuple(sorted(dropped))
