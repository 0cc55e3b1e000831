"""Canonical weights: names and shapes follow the architecture, bytes follow the weights."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.bundles import random_weights, small_architecture
from thinfer.architecture import Architecture, LayerShape, count_cost
from thinfer.bundle import encode_weights, weight_shapes
from thinfer.errors import DataError


@pytest.mark.parametrize("type_rows", [0, 2])
@pytest.mark.parametrize("task_rows", [0, 3])
def test_the_table_holds_every_counted_parameter(type_rows: int, task_rows: int) -> None:
    layer = LayerShape(heads=2, qk_size=3, value_size=5, ffn=7)
    architecture = Architecture(
        hidden=6,
        layers=(layer, LayerShape(heads=0, qk_size=3, value_size=3, ffn=0)),
        vocab=11,
        positions=9,
        type_rows=type_rows,
        task_rows=task_rows,
        classes=2,
    )
    shapes = weight_shapes(architecture)
    total = sum(int(np.prod(shape)) for shape in shapes.values())
    assert total == count_cost(architecture, length=4).parameters
    assert "layers.1.attention.query.weight" not in shapes
    assert shapes["layers.1.attention.output.bias"] == (6,)
    assert shapes["layers.1.ffn.down.bias"] == (6,)
    assert shapes["layers.0.attention.output.weight"] == (6, 10)


def test_the_bytes_do_not_depend_on_the_order() -> None:
    weights = random_weights(small_architecture())
    assert encode_weights(weights) == encode_weights(dict(reversed(weights.items())))


@pytest.mark.parametrize("bad", [np.float64(1), np.float32(np.nan), np.float32(np.inf)])
def test_weights_that_are_no_finite_float32_are_refused(bad: np.generic) -> None:
    with pytest.raises(DataError, match="head"):
        encode_weights({"head.bias": np.array([bad])})
