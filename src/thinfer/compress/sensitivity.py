"""How much the answer feels each block's output: which tokens count, and which directions.

For each text let m be the margin between the model's answer and a rival class, and g its gradient
at a block's output at one token. A change δ of that output moves the margin by gᵀδ, and a margin
moved by more than m flips the answer; so `E (gᵀδ)² / (m² + m₀²)` bounds the share of flips up to a
constant (Chebyshev). Its Kronecker form, `tr(G δδᵀ)` with token weights `‖g‖²`, puts the losses of
all blocks into one unit. In the last layer only the first token has a gradient, and so a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.compress.walk import Block, Packed, classify, embed, list_blocks
from thinfer.core.progress import Progress
from thinfer.nn.device import has_fast_bf16
from thinfer.nn.encoder import EncoderClassifier

__all__ = ["Sensitivity", "measure_sensitivity"]

# m₀, in logits: below it a margin counts as equally small, so a few undecided texts do not rule.
_SOFT_MARGIN = 3.0
# Share of the weights and of the directions that is spread evenly, against over-confidence in
# gradients of a few thousand texts.
_EVEN = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sensitivity:
    """What each block's output means to the answer.

    Attributes:
        token_weights: float32 `[blocks, tokens]`, mean 1 in each row.
        metrics: per block `M` with `MᵀM = G`, float64 `[hidden, hidden]`.
    """

    token_weights: NDArray[np.float32]
    metrics: tuple[NDArray[np.float64], ...]


def measure_sensitivity(
    module: EncoderClassifier,
    packed: Packed,
    *,
    rng: np.random.Generator,
    progress: Progress,
    is_multi_label: bool = False,
) -> Sensitivity:
    """Measure gradients of answer margins at the output of each block; needs no labels.

    Args:
        module: the model, in evaluation mode; its parameters' `requires_grad` is switched off.
        packed: the texts.
        rng: draws each text's rival class.
        progress: told of each token done.
        is_multi_label: the answer is the sign of each logit; its rival is the answer with one
            label's sign turned, and that label's distance from 0 is the margin.

    Returns:
        Token weights and metrics, blocks in the order of the forward pass. Where the processor is
        fast at it products are BF16: their rounding is far below the noise of some thousand texts.
    """
    module.requires_grad_(False)

    def draw(logits: torch.Tensor) -> torch.Tensor:
        return _turned(logits, rng) if is_multi_label else _margins(logits, rng)

    blocks = list_blocks(module)
    hidden = module.architecture.hidden
    weights = torch.zeros(len(blocks), len(packed.ids))
    gram = torch.zeros(len(blocks), hidden, hidden, dtype=torch.float64)
    with progress.task("sensitivity", len(packed.ids)) as advance:
        for where, part in packed.parts():
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_fast_bf16()):
                gradients, text_weights = _differentiate(module, blocks, part, draw)
            lengths = torch.diff(part.first, append=torch.tensor([len(part.ids)]))
            scale = text_weights.repeat_interleave(lengths)  # [tokens]
            for index, gradient in enumerate(gradients):
                weights[index, where] = gradient.square().sum(1) * scale
                gram[index] += (gradient.T @ (gradient * scale[:, None])).double()
            advance(len(part.ids))
    means = weights.mean(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    even = (1.0 - _EVEN) * weights / means + _EVEN
    return Sensitivity(
        token_weights=(even / even.mean(1, keepdim=True)).numpy(),
        metrics=tuple(_root(matrix / len(packed.first)) for matrix in gram),
    )


@torch.enable_grad()  # a caller may have switched gradients off around all of compression
def _differentiate(
    module: EncoderClassifier,
    blocks: list[Block],
    packed: Packed,
    draw: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    states = embed(module, packed).requires_grad_(True)
    outputs = []
    for block in blocks:
        # Adding a zero that needs a gradient reaches a constant (bias only) block too.
        added = block.project(block.read(states, packed)).float() + torch.zeros_like(states)
        added = added if added.requires_grad else added.requires_grad_(True)
        outputs.append(added)
        states = block.norm(states + added)
    margins = draw(classify(module, states, packed).float())
    gradients = torch.autograd.grad(margins.sum(), outputs)
    return gradients, 1.0 / (margins.detach().square() + _SOFT_MARGIN**2)


def _margins(logits: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    if logits.shape[1] == 1:
        return logits[:, 0]
    answer = logits.argmax(1)
    # The square root flattens: rivals that are seldom second still get their share.
    chance = (0.5 * logits.detach()).softmax(1).scatter(1, answer[:, None], 0.0).double()
    rival = _draw_columns(chance, rng)
    rows = torch.arange(len(logits))
    return logits[rows, answer] - logits[rows, rival]


def _turned(logits: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Give the distance from 0 of one label of each text; those near to it are drawn most."""
    chance = (-0.5 * logits.detach().abs()).exp().double()
    place = _draw_columns(chance, rng)
    return logits[torch.arange(len(logits)), place].abs()


def _draw_columns(chances: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Draw one column a row, as likely as its part of the row's sum."""
    steps = chances.cumsum(1)
    draw = torch.from_numpy(rng.random(len(chances)))[:, None] * steps[:, -1:]
    return (steps <= draw).sum(1).clamp_max(chances.shape[1] - 1)


def _root(gram: torch.Tensor) -> NDArray[np.float64]:
    values, vectors = torch.linalg.eigh(gram)
    values = values.clamp_min(0.0)
    values = (1.0 - _EVEN) * values + _EVEN * values.mean()
    root: NDArray[np.float64] = (values.sqrt()[:, None] * vectors.T).numpy()
    return root
