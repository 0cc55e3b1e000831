"""Smoothing and bias for INT8 products whose inputs get a range for each token (`native`).

As in `ranges`, dividing each input channel by a factor and multiplying the matrix's column by it
leaves the product as it is (Xiao et al. 2023, "SmoothQuant"); here it costs nothing at run time, so
the factors with the least error of the product win. Rounding the matrix shifts the product by a
constant on average, which the bias takes back (Nagel et al. 2019, "Data-Free Quantization").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.export.ranges import Product, list_smoothings, walk_products
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.batch import Batch

__all__ = ["Smoothing", "measure_smoothings"]

_JUDGED_TOKENS = 1024  # spread evenly: they choose between factors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Smoothing:
    """What one product does to its input.

    Attributes:
        factors: divide each channel, float32 `[in]`; the matrix's columns are multiplied by them.
        mean: of each channel, not divided, float32 `[in]`.
    """

    factors: NDArray[np.float32]
    mean: NDArray[np.float32]


def measure_smoothings(
    weights: Mapping[str, NDArray[np.float32]], architecture: Architecture, calibration: Batch
) -> dict[str, Smoothing]:
    """Choose the smoothing of every product.

    Args:
        weights: canonical names → float32 arrays.
        architecture: their shape.
        calibration: texts like those in use, at least one.

    Returns:
        By product, with the names of `measure_ranges`.
    """
    module = EncoderClassifier.from_weights(architecture, weights)
    with torch.no_grad():
        return {product.name: _choose(product) for product in walk_products(module, calibration)}


def _choose(product: Product) -> Smoothing:
    inputs, matrix = product.inputs, product.matrix
    judged = inputs[:: max(1, len(inputs) // _JUDGED_TOKENS)]
    wanted = judged @ matrix.T
    plain = torch.ones(matrix.shape[1])
    tried = []
    for found in list_smoothings(inputs, matrix):
        factors = plain if found is None else found
        smoothed = judged / factors
        low = smoothed.amin(1, keepdim=True).clamp_max(0.0)
        step = ((smoothed.amax(1, keepdim=True).clamp_min(0.0) - low) / 255.0).clamp_min(1e-12)
        rounded = ((smoothed / step).round() * step) @ _round_matrix(matrix * factors).T
        shift = (rounded - wanted).mean(0)  # the bias will take it
        tried.append((float((rounded - shift - wanted).square().sum()), factors))
    _, factors = min(tried, key=lambda each: each[0])
    return Smoothing(factors=factors.float().numpy(), mean=inputs.mean(0).float().numpy())


def _round_matrix(matrix: torch.Tensor) -> torch.Tensor:
    scale = matrix.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127.0
    return (matrix / scale).round() * scale
