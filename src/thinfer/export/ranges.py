"""Ranges of what enters each INT8 product, from the user's text, with smoothing where it pays.

A fixed range makes a text's answer independent of the texts beside it: the scales that ONNX
Runtime finds at run time are those of the whole batch. A few input channels are far wider than the
others; dividing each channel by a factor and multiplying the matrix's column by it leaves the
product as it is and evens the two out (Xiao et al. 2023, "SmoothQuant"). Range and factors are
chosen by the error of the product itself on calibration text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.compress.walk import embed, list_blocks, pack
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.batch import Batch

__all__ = [
    "InputRange",
    "Product",
    "list_smoothings",
    "measure_ranges",
    "sample_evenly",
    "walk_products",
]

_MOST_TOKENS = 16_384
_JUDGED_TOKENS = 1024  # of them, spread evenly: they choose between ranges
_CLIPS = (1.0, 0.9, 0.75)
# Smoothing costs a pass over the input, unless it can be folded into what made the input.
_WORTH_A_PASS = 0.8
_LEAST_RANGE = 0.01  # of the widest channel's


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputRange:
    """How one product's input becomes uint8: `round(x / smoothing / scale) + zero_point`.

    Attributes:
        scale: of one step, > 0.
        zero_point: the code of 0, 0 … 255.
        smoothing: divides each channel, float32 `[in]`; the matrix's columns are multiplied by it.
    """

    scale: float
    zero_point: int
    smoothing: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Product:
    """A product on calibration text.

    Attributes:
        name: as `measure_ranges` gives it.
        inputs: float32 `[tokens, in]`.
        matrix: float32 `[out, in]`.
        is_foldable: what made the input can carry the smoothing.
    """

    name: str
    inputs: torch.Tensor
    matrix: torch.Tensor
    is_foldable: bool = False


def measure_ranges(
    weights: Mapping[str, NDArray[np.float32]], architecture: Architecture, calibration: Batch
) -> dict[str, InputRange]:
    """Measure the range of every input that an INT8 graph quantises.

    Args:
        weights: canonical names → float32 arrays.
        architecture: their shape.
        calibration: texts like those in use, at least one.

    Returns:
        By product: `layers.N.attention.input` (query, key and value), `layers.N.attention.output`,
        `layers.N.ffn.up`, `layers.N.ffn.down` and `pooler`.
    """
    module = EncoderClassifier.from_weights(architecture, weights)
    with torch.no_grad():
        return {product.name: _choose(product) for product in walk_products(module, calibration)}


def walk_products(module: EncoderClassifier, calibration: Batch) -> Iterator[Product]:
    """Give the products that an INT8 form rounds, in the order of the forward pass.

    Args:
        module: the model, in evaluation mode; called without gradients.
        calibration: texts like those in use, at least one.
    """
    packed = pack(calibration, sample_evenly(calibration, _MOST_TOKENS))
    states = embed(module, packed)
    last = len(module.layers) - 1
    for block in list_blocks(module):
        inputs = block.read(states, packed)
        if not block.is_empty:
            # Behind its keys and values the last layer computes first tokens alone.
            rows = packed.first if block.layer == last else slice(None)
            layer = getattr(module.layers, str(block.layer))
            output = block.projection.get_parameter("weight")
            prefix = f"layers.{block.layer}"
            if block.kind == "heads":
                parts = [layer.attention.query, layer.attention.key, layer.attention.value]
                joined = torch.cat([part.weight for part in parts])
                yield Product(name=f"{prefix}.attention.input", inputs=states, matrix=joined)
                # The context is linear in the values: their rows can carry the factors.
                name = f"{prefix}.attention.output"
                yield Product(name=name, inputs=inputs[rows], matrix=output, is_foldable=True)
            else:
                up = layer.ffn.up.weight
                yield Product(name=f"{prefix}.ffn.up", inputs=states[rows], matrix=up)
                yield Product(name=f"{prefix}.ffn.down", inputs=inputs[rows], matrix=output)
        states = block.finish(states, inputs)
    yield Product(name="pooler", inputs=states[packed.first], matrix=module.pooler.weight)


def sample_evenly(batch: Batch, max_tokens: int) -> NDArray[np.int64]:
    """Give rows spread evenly over a batch, shortest first.

    Args:
        batch: at least one text.
        max_tokens: about so many tokens are taken; at least one text is.

    Returns:
        Row numbers, int64.
    """
    lengths = batch.lengths
    share = min(1.0, max_tokens / max(1, int(lengths.sum())))
    count = max(1, int(share * len(lengths)))
    rows = np.unique(np.linspace(0, len(lengths) - 1, count).round().astype(np.int64))
    order: NDArray[np.int64] = rows[np.argsort(lengths[rows], kind="stable")]
    return order


def _choose(product: Product) -> InputRange:
    inputs, matrix = product.inputs, product.matrix
    step = max(1, len(inputs) // _JUDGED_TOKENS)
    # The fewer tokens were seen, the further beyond them the next one may lie.
    room = 1.0 + 2.0 / len(inputs) ** 0.5
    clips = _CLIPS if len(inputs) >= _JUDGED_TOKENS else (1.0,)
    wanted = inputs[::step] @ matrix.T
    tried = []
    for smoothing in list_smoothings(inputs, matrix):
        smoothed = inputs if smoothing is None else inputs / smoothing
        low = min(0.0, float(smoothed.min())) * room
        high = max(0.0, float(smoothed.max())) * room
        codes = _round_matrix(matrix if smoothing is None else matrix * smoothing)
        for clip in clips:
            scale = max((high - low) * clip / 255.0, 1e-12)
            zero = min(255, max(0, round(-low * clip / scale)))
            rounded = (smoothed[::step] / scale).round().add_(zero).clamp_(0, 255)
            error = float((rounded.sub_(zero).mul_(scale) @ codes.T - wanted).square().sum())
            price = 1.0 if smoothing is None or product.is_foldable else 1.0 / _WORTH_A_PASS
            tried.append((error * price, scale, zero, smoothing))
    _, scale, zero, smoothing = min(tried, key=lambda each: each[0])
    factors = None if smoothing is None else smoothing.float().numpy()
    return InputRange(scale=scale, zero_point=zero, smoothing=factors)


def list_smoothings(inputs: torch.Tensor, matrix: torch.Tensor) -> list[torch.Tensor | None]:
    """Give the factors worth trying, float32 `[in]` each; None leaves the channels as they are.

    Args:
        inputs: float32 `[tokens, in]`.
        matrix: float32 `[out, in]`.
    """
    widest = inputs.abs().amax(0)
    # A channel that was silent on this text may speak on the next one.
    widest = widest.clamp_min(max(1e-5, _LEAST_RANGE * float(widest.max())))
    columns = matrix.abs().amax(0).clamp_min(1e-5)
    factors = [widest.sqrt(), (widest / columns).sqrt()]
    return [None, *(each / each.log().mean().exp() for each in factors)]


def _round_matrix(matrix: torch.Tensor) -> torch.Tensor:
    scale = matrix.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127.0
    return (matrix / scale).round() * scale
