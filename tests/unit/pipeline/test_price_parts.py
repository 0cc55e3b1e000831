"""Prices out of times: what a model was made of comes back, and noise does not turn it round."""

from dataclasses import replace

import pytest

from thinfer.architecture import LayerShape
from thinfer.pipeline.price_parts import DEPTH, Key, PriceParts, split_prices, split_sizes

pytest.importorskip("scipy", reason="prices are made to rise with SciPy")

EMPTY = LayerShape(heads=0, ffn=0, qk_size=8, value_size=8)
BASE, LAYER = 5.0, 0.5
HEADS, LAST_HEADS = {0: 0.0, 2: 1.0, 4: 1.5}, {0: 0.0, 2: 0.25, 4: 0.375}
NEURONS, LAST_NEURONS = {0: 0.0, 16: 2.0, 32: 4.0}, {0: 0.0, 16: 0.125, 32: 0.25}


def seconds() -> dict[Key, float]:
    """Times of small models that obey the table's sum."""
    times: dict[Key, float] = {}
    for heads, ffn in [(0, 0), (2, 0), (4, 0), (0, 16), (0, 32)]:
        layer = replace(EMPTY, heads=heads, ffn=ffn)
        last = LAST_HEADS[heads] + LAST_NEURONS[ffn]
        inner = LAYER + HEADS[heads] + NEURONS[ffn]
        times |= {(layer, depth): BASE + (depth - 1) * inner + last for depth in (1, DEPTH)}
    return times


def test_the_prices_of_a_sum_are_its_parts() -> None:
    times = split_prices(PriceParts(seconds(), EMPTY), tuple(HEADS), tuple(NEURONS))
    assert (times.base, times.layer) == (BASE, LAYER)
    assert times.heads == tuple(HEADS.values())
    assert times.neurons == tuple(NEURONS.values())
    assert times.last_heads == tuple(LAST_HEADS.values())
    assert times.last_neurons == tuple(LAST_NEURONS.values())


def test_a_wider_block_is_never_the_cheaper_one() -> None:
    noisy = seconds()
    slow, quick = replace(EMPTY, heads=2), replace(EMPTY, heads=4)
    noisy[slow, DEPTH], noisy[quick, DEPTH] = noisy[quick, DEPTH], noisy[slow, DEPTH]
    times = split_prices(PriceParts(noisy, EMPTY), tuple(HEADS), tuple(NEURONS))
    assert times.heads[0] == 0.0
    assert times.heads[1] == times.heads[2]
    assert 1.0 < times.heads[1] < 1.5


def test_smaller_heads_have_prices_of_their_own() -> None:
    times = seconds()
    small = {
        "qk_size": {2: (0.75, 0.125), 4: (1.25, 0.25)},
        "value_size": {2: (0.5, 0.0625), 4: (1.0, 0.125)},
    }
    for name, prices in small.items():
        for heads, (inner, last) in prices.items():
            layer = replace(EMPTY, heads=heads, **{name: 4})
            for depth in (1, DEPTH):
                times[layer, depth] = BASE + (depth - 1) * (LAYER + inner) + last
    (found,) = split_sizes(PriceParts(times, EMPTY), (4,), (0, 2, 4))
    assert found.qk == (0.0, 0.75, 1.25)
    assert found.last_qk == (0.0, 0.125, 0.25)
    assert found.values == (0.0, 0.5, 1.0)
    assert found.last_values == (0.0, 0.0625, 0.125)
