"""What each block may become: the widths of its ladder, and smaller heads where those pay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.costs import BlockCosts
from thinfer.compress.headsize import HeadOption, SizedHeads
from thinfer.compress.ladder import Ladder, Ladders
from thinfer.errors import UserError

__all__ = ["Offer", "list_offers"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """The options of one block, those of its ladder first.

    Attributes:
        widths: structures kept, int64 `[options]`.
        sizes: the heads of an option whose heads are smaller; None where they keep their size.
        errors: predicted loss, float64 `[options]`.
        costs: in the unit of the cost table, float64 `[options]`.
        whole: cost of the block as it is.
    """

    widths: NDArray[np.int64]
    sizes: tuple[HeadOption | None, ...]
    errors: NDArray[np.float64]
    costs: NDArray[np.float64]
    whole: float


def list_offers(ladders: Ladders, costs: BlockCosts) -> tuple[Offer, ...]:
    """Give the options of each block, in the order of the forward pass.

    Args:
        ladders: of the model.
        costs: of the ladders' options.

    Returns:
        One offer a block. An option of smaller heads is left out where another of its block
        costs and loses no more: no choice under any budget would take it.

    Raises:
        UserError: smaller heads were measured and have no prices.
    """
    if len(costs.sized) != len(ladders.sized):
        what = "the cost table has no prices of smaller heads"
        expected = f"prices for {len(ladders.sized)} layers"
        raise UserError(what, expected=expected, got=str(len(costs.sized)), do="measure it anew")
    offers = []
    for layer, (heads, neurons) in enumerate(zip(ladders.heads, ladders.neurons, strict=True)):
        offer = _offer_widths(heads, costs.heads[layer])
        if ladders.sized:
            offer = _add_sizes(offer, ladders.sized[layer], costs.sized[layer])
        offers += [offer, _offer_widths(neurons, costs.neurons[layer])]
    return tuple(offers)


def _offer_widths(ladder: Ladder, costs: NDArray[np.float64]) -> Offer:
    return Offer(
        widths=ladder.widths,
        sizes=(None,) * len(ladder.widths),
        errors=ladder.errors,
        costs=costs,
        whole=float(costs[-1]),
    )


def _add_sizes(offer: Offer, sized: SizedHeads, costs: NDArray[np.float64]) -> Offer:
    errors = np.concatenate([offer.errors, sized.errors])
    prices = np.concatenate([offer.costs, costs])
    own = len(offer.widths)
    pays = [at for at in range(own, len(errors)) if not _is_dominated(at, errors, prices)]
    picked = np.array([*range(own), *pays], dtype=np.int64)
    options = [sized.options[at - own] for at in pays]
    heads = np.array([option.heads for option in options], dtype=np.int64)
    return Offer(
        widths=np.concatenate([offer.widths, heads]),
        sizes=(*offer.sizes, *options),
        errors=errors[picked],
        costs=prices[picked],
        whole=offer.whole,
    )


def _is_dominated(at: int, errors: NDArray[np.float64], costs: NDArray[np.float64]) -> bool:
    no_worse = (errors <= errors[at]) & (costs <= costs[at])
    equal = (errors == errors[at]) & (costs == costs[at])
    return bool(np.any(no_worse & ~equal)) or bool(np.any(equal[:at]))
