"""Options of smaller heads, and the weights that go with them."""

import dataclasses

import numpy as np
import pytest

from tests.support.toy_models import toy_batch, toy_state, wide_architecture
from thinfer.architecture import LayerShape
from thinfer.compress.headsize import (
    HeadFit,
    HeadOption,
    ScoreForm,
    SizedHeads,
    list_sizes,
    offer_options,
    resize_attention,
)
from thinfer.compress.rank import PruneSettings, build_ladders
from thinfer.errors import DataError

STATE = toy_state(wide_architecture(1))
SHAPE = STATE.architecture.layers[0]
SIZED = build_ladders(
    STATE, toy_batch(60), rng=np.random.default_rng(0), settings=PruneSettings(resize_heads=True)
).sized[0]
PART = {
    name.removeprefix("layers.0.attention."): array
    for name, array in STATE.weights.items()
    if name.startswith("layers.0.attention.")
}


@pytest.mark.parametrize(
    ("heads", "size", "sizes", "count"),
    [
        (12, 64, (16, 32, 48), 4 * 15),
        (12, 32, (8, 16), 4 * 8),
        (2, 16, (8,), 2 * 3),
        (1, 16, (8,), 3),
        (5, 16, (8,), 5 * 3),
        (0, 32, (8, 16), 0),
        (4, 8, (), 0),
    ],
)
def test_what_is_on_offer(heads: int, size: int, sizes: tuple[int, ...], count: int) -> None:
    shape = LayerShape(heads=heads, qk_size=size, value_size=size, ffn=8)
    options = offer_options(shape)
    assert list_sizes(shape) == sizes
    assert len(set(options)) == len(options) == count
    assert all(1 <= option.heads <= heads for option in options)
    assert not any((option.qk_size, option.value_size) == (size, size) for option in options)


@pytest.mark.parametrize(
    "option",
    [
        HeadOption(heads=2, qk_size=8, value_size=16),
        HeadOption(heads=2, qk_size=16, value_size=8),
        HeadOption(heads=1, qk_size=8, value_size=8),
    ],
)
def test_an_option_has_the_shapes_of_its_sizes(option: HeadOption) -> None:
    keep = np.array([option.heads == 2, True])
    small = resize_attention(PART, SHAPE, SIZED, option, keep)
    queries, values = option.heads * option.qk_size, option.heads * option.value_size
    assert {name: array.shape for name, array in small.items()} == {
        "query.weight": (queries, 16),
        "query.bias": (queries,),
        "key.weight": (queries, 16),
        "key.bias": (queries,),
        "value.weight": (values, 16),
        "value.bias": (values,),
        "output.weight": (16, values),
        "output.bias": (16,),
    }
    assert all(array.dtype == np.float32 for array in small.values())
    if option.qk_size == 16:  # what is not reduced is not touched
        np.testing.assert_array_equal(small["key.weight"], PART["key.weight"])


@pytest.mark.parametrize(
    ("option", "keep"),
    [
        (HeadOption(heads=2, qk_size=4, value_size=8), [True, True]),
        (HeadOption(heads=2, qk_size=8, value_size=8), [True, False]),
        (HeadOption(heads=2, qk_size=8, value_size=17), [True, True]),
    ],
)
def test_an_option_that_does_not_fit_is_refused(option: HeadOption, keep: list[bool]) -> None:
    with pytest.raises(DataError, match="does not fit"):
        resize_attention(PART, SHAPE, SIZED, option, np.array(keep))


def test_moments_that_cannot_be_factorised_are_refused() -> None:
    broken = -np.eye(4, dtype=np.float32)
    form = ScoreForm(maps=None, matrix=broken, cross=broken, mean=np.zeros(4))
    with pytest.raises(DataError, match="cannot be factorised"):
        HeadFit(form, np.ones(4, dtype=np.bool_))


def test_losses_that_do_not_fit_their_options_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit together"):
        dataclasses.replace(SIZED, errors=SIZED.errors[1:])
    with pytest.raises(DataError, match="do not fit together"):
        dataclasses.replace(SIZED, errors=SIZED.errors - 1e6)
    assert SizedHeads.none().options == ()
