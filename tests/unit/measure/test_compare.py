from __future__ import annotations

import numpy as np
import pytest

from thinfer.errors import UserError
from thinfer.measure.compare import Ratio, ratio_interval
from thinfer.measure.timing import Samples


def make_samples(seconds: list[float], rounds: list[int] | None = None) -> Samples:
    numbers = rounds or list(range(len(seconds)))
    return Samples(seconds=tuple(seconds), rounds=tuple(numbers), dropped=0, is_disturbed=False)


def compare(first: Samples, second: Samples) -> Ratio:
    return ratio_interval(first, second, rng=np.random.default_rng(0))


def test_pairs_cancel_what_both_share() -> None:
    # The host drifts threefold; within a round the ratio is two.
    drift = np.linspace(1.0, 3.0, 30)
    wobble = 1 + 0.01 * np.random.default_rng(1).standard_normal(30)
    found = compare(make_samples((2 * drift * wobble).tolist()), make_samples(drift.tolist()))
    assert found.low <= 2.0 <= found.high
    assert found.high - found.low < 0.05
    assert found.is_separable
    assert found.pairs == 30


def test_equal_contenders_are_not_separable() -> None:
    rng = np.random.default_rng(2)
    first, second = (make_samples(rng.uniform(1, 2, 40).tolist()) for _ in range(2))
    assert not compare(first, second).is_separable


def test_only_common_rounds_are_paired() -> None:
    first = make_samples([2.0] * 6, [0, 1, 2, 3, 4, 9])
    second = make_samples([1.0] * 5 + [100.0], [0, 1, 2, 3, 4, 5])
    assert compare(first, second) == Ratio(ratio=2.0, low=2.0, high=2.0, pairs=5)


def test_few_pairs_give_the_widest_interval() -> None:
    found = compare(make_samples([2.0, 4.0]), make_samples([1.0, 2.0]))
    assert (found.ratio, found.low, found.high, found.pairs) == (2.0, 1.0, 4.0, 2)


def test_no_sample_is_refused() -> None:
    with pytest.raises(UserError):
        compare(make_samples([]), make_samples([1.0]))
