"""`Stitcher`: what a choice of widths loses, from blocks that were each repaired by themselves.

Every block at every width has its own least-squares projection on the dense model's inputs (what
the surgeon's updates add up to). Stitching the blocks of a choice together gives a model that can
be run at once, without the sequential repair: close enough to tell good choices from bad ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional

from thinfer.architecture import PruningMask
from thinfer.compress.headsize import HeadOption
from thinfer.compress.ladder import Ladders
from thinfer.compress.nested import NestedFit
from thinfer.compress.resize import resize_layer, sized_architecture
from thinfer.compress.state import State, Weights
from thinfer.compress.surgery import cut_architecture, cut_weights
from thinfer.compress.walk import Packed, classify, embed, list_blocks, run_blocks
from thinfer.errors import DataError
from thinfer.nn.device import has_fast_bf16
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.loss import log_scores

__all__ = ["Stitcher"]

_MOST_KEPT = 1 << 29  # bytes of projections that a search takes over from one before
_PROJECTIONS = ("attention.output", "ffn.down")


class Stitcher:
    """Builds and judges stitched models; repaired projections are kept for the next choice.

    Args:
        state: the dense state.
        ladders: of that state, with their moments.
        packed: the texts that judge.

    Raises:
        DataError: the ladders were built without moments.
    """

    def __init__(self, state: State, ladders: Ladders, packed: Packed) -> None:
        if len(ladders.moments) != len(ladders.blocks):
            what = "the ladders were built without the moments that stitching needs"
            raise DataError(what, expected="PruneSettings(keep_moments=True)")
        self._state = state
        self._ladders = ladders
        self._packed = packed
        self._projections: dict[tuple[int, int | HeadOption], Weights] = {}
        self._fits: dict[int, NestedFit] = {}
        self._wanted = {False: self._log_scores(state.module(), is_rough=False)}

    def begin(self) -> None:
        """Forget the repaired projections of searches before, where they have become many."""
        arrays = (array for each in self._projections.values() for array in each.values())
        if sum(array.nbytes for array in arrays) > _MOST_KEPT:
            self._projections.clear()

    @property
    def is_fast_roughly(self) -> bool:
        """Whether a rough judgement is faster on this machine than an exact one."""
        return has_fast_bf16()

    def judge(
        self,
        widths: Sequence[int],
        sizes: Mapping[int, HeadOption] | None = None,
        *,
        is_rough: bool = False,
    ) -> float:
        """Give the mean KL divergence of the stitched model's answers from the dense one's.

        Args:
            widths: structures to keep of each block: heads, neurons, heads, …
            sizes: by layer whose heads are smaller.
            is_rough: multiply in BF16, in both models.

        Returns:
            Nats a text, ≥ 0.
        """
        if is_rough not in self._wanted:
            self._wanted[is_rough] = self._log_scores(self._state.module(), is_rough=is_rough)
        got = self._log_scores(self.stitch(widths, sizes), is_rough=is_rough)
        wanted = self._wanted[is_rough]
        return float(functional.kl_div(got, wanted, log_target=True, reduction="batchmean"))

    def stitch(
        self, widths: Sequence[int], sizes: Mapping[int, HeadOption] | None = None
    ) -> EncoderClassifier:
        """Give the model of a choice.

        Args:
            widths: structures to keep of each block: heads, neurons, heads, …
            sizes: by layer whose heads are smaller.
        """
        sizes = sizes or {}
        blocks = self._ladders.blocks
        masks = [ladder.keep(width) for ladder, width in zip(blocks, widths, strict=True)]
        mask = PruningMask(
            heads=tuple(masks[0::2]),
            neurons=tuple(masks[1::2]),
            layers=(True,) * len(self._ladders.heads),
        )
        before = self._state.architecture
        weights = cut_weights(self._state.weights, before, mask)
        for index, width in enumerate(widths):
            if index % 2 or index // 2 not in sizes:
                weights.update(self._repair(index, width))
        for layer, option in sizes.items():
            weights.update(self._resize(layer, option, mask))
        architecture = sized_architecture(cut_architecture(before, mask), sizes)
        return EncoderClassifier.from_weights(architecture, weights)

    def _resize(self, layer: int, option: HeadOption, mask: PruningMask) -> Weights:
        found = self._projections.get((2 * layer, option))
        if found is None:
            found = resize_layer(
                self._state,
                layer,
                self._ladders.sized[layer],
                option,
                mask,
                name=f"layers.{layer}",
            )
            self._projections[2 * layer, option] = found
        return found

    def _repair(self, index: int, width: int) -> Weights:
        found = self._projections.get((index, width))
        if found is None:
            found = self._projections[index, width] = self._solve(index, width)
        return found

    def _solve(self, index: int, width: int) -> Weights:
        """Give the projection of one block at one width, with the intercept that goes with it."""
        ladder, moments = self._ladders.blocks[index], self._ladders.moments[index]
        name = f"layers.{ladder.layer}.{_PROJECTIONS[index % 2]}"
        if width == len(ladder.order):  # whole: nothing to repair
            return {}
        weight = self._state.weights[f"{name}.weight"].astype(np.float64)
        bias = self._state.weights[f"{name}.bias"].astype(np.float64)
        size = weight.shape[1] // len(ladder.order)
        keep = np.repeat(ladder.keep(width), size)
        if index not in self._fits:
            lasting = ladder.order[::-1, None] * size + np.arange(size)
            matrix = moments.matrix.astype(np.float64)
            self._fits[index] = NestedFit(weight, matrix, lasting.ravel())
        small = self._fits[index].fit(width * size)
        bias = bias + weight @ moments.mean - small @ moments.mean[keep]
        repaired = {f"{name}.bias": bias.astype(np.float32)}
        if width:
            repaired[f"{name}.weight"] = small.astype(np.float32)
        return repaired

    def _log_scores(self, module: EncoderClassifier, *, is_rough: bool) -> torch.Tensor:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_rough):
            states = embed(module, self._packed)
            states = run_blocks(list_blocks(module), states, self._packed)
            logits = classify(module, states, self._packed)
            return log_scores(logits.float(), is_multi_label=self._state.is_multi_label)
