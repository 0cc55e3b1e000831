"""The width choice against brute force."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from thinfer.compress import select
from thinfer.compress.select import choose_widths
from thinfer.errors import UserError

Table = list[NDArray[np.float64]]


def random_table(blocks: int, options: int, seed: int) -> tuple[Table, Table]:
    rng = np.random.default_rng(seed)
    errors = [np.sort(rng.random(options))[::-1].copy() for _ in range(blocks)]
    costs = [np.cumsum(rng.integers(0, 9, size=options)).astype(np.float64) for _ in range(blocks)]
    return errors, costs


def total(table: Table, chosen: tuple[int, ...]) -> float:
    return sum(float(part[option]) for part, option in zip(table, chosen, strict=True))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_equals_brute_force_on_three_layers(seed: int, share: float) -> None:
    errors, costs = random_table(3, 6, seed)
    least = sum(float(part.min()) for part in costs)
    budget = least + share * (sum(float(part.max()) for part in costs) - least)
    chosen = choose_widths(errors, costs, budget)
    assert total(costs, chosen) <= budget + 1e-9
    best = min(
        total(errors, trial)
        for trial in itertools.product(range(6), repeat=3)
        if total(costs, trial) <= budget + 1e-9
    )
    assert total(errors, chosen) == pytest.approx(best, abs=1e-12)


def test_widths_differ_where_blocks_differ() -> None:
    errors = [np.array([10.0, 5.0, 0.0]), np.array([0.1, 0.05, 0.0])]
    costs = [np.array([0.0, 1.0, 2.0])] * 2
    assert choose_widths(errors, costs, 2.0) == (2, 0)


def test_the_cheaper_wins_among_equal_errors() -> None:
    assert choose_widths([np.array([0.0, 0.0])], [np.array([1.0, 2.0])], 5.0) == (0,)


def test_full_budget_keeps_all() -> None:
    errors, costs = random_table(4, 5, 1)
    errors = [part - part[-1] for part in errors]
    budget = sum(float(part[-1]) for part in costs)
    assert total(errors, choose_widths(errors, costs, budget)) == 0.0


def test_a_thinned_front_keeps_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    errors, costs = random_table(6, 12, 3)
    costs = [part + np.random.default_rng(0).random(12) for part in costs]
    budget = 0.5 * sum(float(part.max()) for part in costs)
    exact = choose_widths(errors, costs, budget)
    monkeypatch.setattr(select, "_FRONT", 64)
    thinned = choose_widths(errors, costs, budget)
    assert total(costs, thinned) <= budget
    assert total(errors, thinned) <= 1.1 * total(errors, exact)


def test_tightest_budget_survives_thinning(monkeypatch: pytest.MonkeyPatch) -> None:
    errors, costs = random_table(5, 12, 4)
    monkeypatch.setattr(select, "_FRONT", 8)
    budget = sum(float(part.min()) for part in costs)
    assert total(costs, choose_widths(errors, costs, budget)) == budget


def test_impossible_budget_is_refused() -> None:
    with pytest.raises(UserError, match="at least 2"):
        choose_widths([np.array([1.0, 0.0])], [np.array([2.0, 3.0])], 1.0)


def test_a_table_of_another_shape_is_refused() -> None:
    with pytest.raises(UserError, match="cost table"):
        choose_widths([np.array([1.0, 0.0])], [np.array([2.0])], 1.0)
