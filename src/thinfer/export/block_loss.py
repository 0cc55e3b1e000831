"""What INT8 costs block by block: each one rounded alone, everything else left in FP32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.compress.walk import Block, Packed, classify, embed, list_blocks, pack, run_blocks
from thinfer.export.blocks import list_blocks_to_round
from thinfer.export.ranges import InputRange, sample_evenly
from thinfer.export.rounded import round_model
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.loss import log_scores
from thinfer.quality.answers import encode_answers
from thinfer.text.batch import Batch

__all__ = ["BlockLoss", "measure_block_losses"]

_MOST_TOKENS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLoss:
    """What rounding one block alone does to the logits.

    Attributes:
        block: as `list_blocks_to_round` names it.
        kl: mean over texts of KL(FP32 ‖ rounded) of the softmax, in nats, ≥ 0; of the sigmoids,
            summed, where a text may have several labels.
        squared_error: mean over texts and classes of the squared difference of a logit.
        flips: texts whose answer is another one.
        texts: texts compared.
    """

    block: str
    kl: float
    squared_error: float
    flips: int
    texts: int


def measure_block_losses(
    weights: Mapping[str, NDArray[np.float32]],
    architecture: Architecture,
    calibration: Batch,
    *,
    ranges: Mapping[str, InputRange],
    max_tokens: int = _MOST_TOKENS,
    is_multi_label: bool = False,
) -> tuple[BlockLoss, ...]:
    """Measure how sensitive the answer is to the rounding of each block.

    Args:
        weights: canonical names → float32 arrays.
        architecture: their shape.
        calibration: texts like those in use, at least one.
        ranges: of the INT8 graph, by `measure_ranges`: its very codes are used.
        max_tokens: most tokens looked at, spread evenly over the texts.
        is_multi_label: a sigmoid for each label.

    Returns:
        One loss a block, the most sensitive first: by KL, then by squared error (with one class
        the softmax is constant), then as the forward pass goes. What is not finite is infinite.

    Note:
        Beside the model this holds the states of about 4,096 tokens, whatever the depth: the
        states before a block are computed once, and a rounded block is followed by the plain
        rest. That is half the work of a whole pass for each block.
    """
    model = EncoderClassifier.from_weights(architecture, weights)
    rounded = round_model(model, ranges)
    order = list_blocks_to_round(architecture)
    plain: list[torch.Tensor] = []
    others: dict[str, list[torch.Tensor]] = {block: [] for block in order}
    with torch.inference_mode():
        for _, part in pack(calibration, sample_evenly(calibration, max_tokens)).parts():
            plain.append(_run_part(model, rounded, part, others))
        wanted = torch.cat(plain)
        losses = [
            _compare(block, wanted, torch.cat(others[block]), is_multi_label) for block in order
        ]
    return tuple(sorted(losses, key=lambda each: (-each.kl, -each.squared_error)))


def _run_part(
    model: EncoderClassifier,
    rounded: EncoderClassifier,
    part: Packed,
    others: Mapping[str, list[torch.Tensor]],
) -> torch.Tensor:
    """Give the FP32 logits of some texts; those with one block rounded are added to `others`."""
    blocks, rough = list_blocks(model), list_blocks(rounded)
    states = embed(model, part)
    ended = run_blocks(blocks, embed(rounded, part), part)
    others["embeddings"].append(classify(model, ended, part))
    for place, block in enumerate(blocks):
        if not block.is_empty:
            after = run_blocks([rough[place], *blocks[place + 1 :]], states, part)
            others[_name(block)].append(classify(model, after, part))
        states = run_blocks([block], states, part)
    others["pooler"].append(classify(rounded, states, part))
    return classify(model, states, part)


def _name(block: Block) -> str:
    return f"layers.{block.layer}.{'attention' if block.kind == 'heads' else 'ffn'}"


def _compare(
    block: str, wanted: torch.Tensor, got: torch.Tensor, is_multi_label: bool
) -> BlockLoss:
    goal, own = (log_scores(each.double(), is_multi_label=is_multi_label) for each in (wanted, got))
    kl = float((goal.exp() * (goal - own)).sum(1).mean())
    error = float((got.double() - wanted.double()).square().mean())
    answers, others = (
        encode_answers(each.numpy(), is_multi_label=is_multi_label) for each in (wanted, got)
    )
    flips = int((answers != others).sum())
    return BlockLoss(
        block=block,
        kl=max(0.0, kl) if np.isfinite(kl) else float("inf"),
        squared_error=error if np.isfinite(error) else float("inf"),
        flips=flips,
        texts=len(wanted),
    )
