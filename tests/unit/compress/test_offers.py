"""Offers of smaller heads beside the ladder's widths: only what can pay, and the best choice."""

import dataclasses
import itertools

import numpy as np
import pytest

from tests.support.toy_models import toy_batch, toy_state, wide_architecture
from thinfer.compress.costs import BlockCosts, count_costs
from thinfer.compress.ladder import Ladders
from thinfer.compress.offers import Offer, list_offers
from thinfer.compress.rank import PruneSettings, build_ladders
from thinfer.compress.select import choose_widths
from thinfer.errors import UserError


def build(*, resize: bool = True) -> Ladders:
    settings = PruneSettings(neuron_step=16, resize_heads=resize)
    state = toy_state(wide_architecture())
    return build_ladders(state, toy_batch(60), rng=np.random.default_rng(0), settings=settings)


LADDERS = build()
COSTS = count_costs(LADDERS, length=12)


def costs_of(offers: tuple[Offer, ...]) -> list[np.ndarray]:
    return [offer.costs for offer in offers]


def test_the_ladder_is_the_same_with_and_without_smaller_heads() -> None:
    plain = build(resize=False)
    assert plain.sized == ()
    # Built beside each other: an earlier test may have left torch another number of threads.
    for one, other in zip(plain.blocks, build().blocks, strict=True):
        np.testing.assert_array_equal(one.errors, other.errors)
    offers = list_offers(plain, count_costs(plain, length=12))
    for offer, ladder in zip(offers, plain.blocks, strict=True):
        np.testing.assert_array_equal(offer.widths, ladder.widths)
        assert set(offer.sizes) == {None}
        assert offer.whole == float(offer.costs[-1])


@pytest.mark.parametrize("share", [0.1, 0.3, 0.45, 0.6, 0.75, 0.9])
def test_the_choice_is_that_of_brute_force_over_everything_measured(share: float) -> None:
    offers = list_offers(LADDERS, COSTS)
    budget = share * sum(offer.whole for offer in offers)
    picked = choose_widths([offer.errors for offer in offers], costs_of(offers), budget)
    loss = sum(float(offer.errors[at]) for offer, at in zip(offers, picked, strict=True))
    every = []
    for layer in range(2):
        for ladder, costs in (
            (LADDERS.heads[layer], COSTS.heads[layer]),
            (LADDERS.neurons[layer], COSTS.neurons[layer]),
        ):
            every.append(list(zip(ladder.errors.tolist(), costs.tolist(), strict=True)))
        sized = zip(LADDERS.sized[layer].errors.tolist(), COSTS.sized[layer].tolist(), strict=True)
        every[-2] += list(sized)  # undominated and dominated ones alike
    fits = [
        sum(error for error, _ in choice)
        for choice in itertools.product(*every)
        if sum(cost for _, cost in choice) <= budget * (1 + 1e-12)
    ]
    assert loss == pytest.approx(min(fits), rel=1e-9)


def test_smaller_heads_are_chosen_where_they_lose_less() -> None:
    offers = list_offers(LADDERS, COSTS)
    chosen = set()
    for share in np.linspace(0.1, 0.9, 17):
        budget = float(share) * sum(offer.whole for offer in offers)
        picked = choose_widths([offer.errors for offer in offers], costs_of(offers), budget)
        chosen |= {offer.sizes[at] for offer, at in zip(offers, picked, strict=True)}
    assert len(chosen - {None}) > 1


def test_what_gains_no_time_is_not_on_offer() -> None:
    """An engine in which smaller heads are no faster."""
    as_before = [
        np.full(len(sized.options), COSTS.heads[layer][-1])
        for layer, sized in enumerate(LADDERS.sized)
    ]
    offers = list_offers(LADDERS, dataclasses.replace(COSTS, sized=tuple(as_before)))
    assert all(set(offer.sizes) == {None} for offer in offers)


def test_of_equal_options_one_stays() -> None:
    first = LADDERS.sized[0]
    even = dataclasses.replace(first, errors=np.full(len(first.options), 1e-9))
    ladders = dataclasses.replace(LADDERS, sized=(even, LADDERS.sized[1]))
    costs = (np.full(len(first.options), 1e-9), COSTS.sized[1])
    offers = list_offers(ladders, dataclasses.replace(COSTS, sized=costs))
    assert sum(size is not None for size in offers[0].sizes) == 1


def test_smaller_heads_without_prices_are_refused() -> None:
    with pytest.raises(UserError, match="no prices of smaller heads"):
        list_offers(LADDERS, BlockCosts(heads=COSTS.heads, neurons=COSTS.neurons))
