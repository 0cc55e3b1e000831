"""Smoothing for ranges of tokens: the same product, with less error where a channel is wide."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tests.support.export_models import LONGEST, SHAPES, random_batch, random_weights
from thinfer.export.ranges import measure_ranges, walk_products
from thinfer.export.smoothing import measure_smoothings
from thinfer.nn.encoder import EncoderClassifier

SHAPE = SHAPES["uneven"]
TEXTS = random_batch(SHAPE, range(1, LONGEST + 1), seed=3)


def test_every_product_that_has_a_range_has_a_smoothing() -> None:
    weights = random_weights(SHAPE)
    found = measure_smoothings(weights, SHAPE, TEXTS)
    assert set(found) == set(measure_ranges(weights, SHAPE, TEXTS))
    for each in found.values():
        assert (each.factors > 0).all()
        assert np.isfinite(each.mean).all()


def test_a_wide_channel_is_divided_by_more_than_the_others() -> None:
    weights = random_weights(SHAPE)
    norm = "layers.0.ffn.norm"
    wide = {**weights, f"{norm}.weight": weights[f"{norm}.weight"].copy()}
    wide[f"{norm}.weight"][5] = 60.0
    factors = measure_smoothings(wide, SHAPE, TEXTS)["layers.1.attention.input"].factors
    assert factors.argmax() == 5
    assert factors[5] > 3 * np.median(factors)


def test_the_mean_is_that_of_the_inputs() -> None:
    weights = random_weights(SHAPE)
    found = measure_smoothings(weights, SHAPE, TEXTS)
    module = EncoderClassifier.from_weights(SHAPE, weights)
    with torch.no_grad():
        for product in walk_products(module, TEXTS):
            mean = product.inputs.mean(0).numpy()
            np.testing.assert_allclose(found[product.name].mean, mean, atol=1e-6)


def test_the_same_texts_give_the_same_factors() -> None:
    weights = random_weights(SHAPE)
    first, again = (measure_smoothings(weights, SHAPE, TEXTS) for _ in range(2))
    for name, each in first.items():
        for field in dataclasses.fields(each):
            left, right = getattr(each, field.name), getattr(again[name], field.name)
            np.testing.assert_array_equal(left, right)
