"""Ladders: zero and full are widths like any other."""

import numpy as np
import pytest

from thinfer.compress.ladder import Ladder, offer_widths
from thinfer.errors import DataError


def ladder(errors: list[float]) -> Ladder:
    return Ladder(
        layer=1,
        kind="neurons",
        order=np.array([2, 0, 1]),
        widths=np.array([0, 2, 3]),
        errors=np.array(errors),
        damping=0.01,
    )


@pytest.mark.parametrize(("width", "kept"), [(0, []), (1, [1]), (2, [0, 1]), (3, [0, 1, 2])])
def test_keep_takes_the_last_of_the_order(width: int, kept: list[int]) -> None:
    assert np.flatnonzero(ladder([2.0, 1.0, 0.0]).keep(width)).tolist() == kept


@pytest.mark.parametrize("width", [-1, 4])
def test_an_impossible_width_is_refused(width: int) -> None:
    with pytest.raises(DataError, match="no such width"):
        ladder([2.0, 1.0, 0.0]).keep(width)


def test_rising_errors_are_refused() -> None:
    with pytest.raises(DataError, match="does not fit together"):
        ladder([1.0, 2.0, 0.0])


@pytest.mark.parametrize(
    ("count", "step", "widths"),
    [(0, 64, [0]), (5, 2, [0, 2, 4, 5]), (64, 64, [0, 64]), (3, 1, [0, 1, 2, 3]), (3, 64, [0, 3])],
)
def test_widths_on_offer(count: int, step: int, widths: list[int]) -> None:
    assert offer_widths(count, step).tolist() == widths
