import itertools

import numpy as np
import pytest

from tests.support.toy_models import (
    toy_architecture,
    toy_batch,
    toy_state,
    wide_architecture,
)
from thinfer.architecture import PruningMask
from thinfer.compress.costs import count_costs
from thinfer.compress.headsize import HeadOption
from thinfer.compress.ladder import Ladders
from thinfer.compress.mutate import SearchSettings, search_options
from thinfer.compress.prune import PruneSettings, PruneTarget, build_ladders, prune_to
from thinfer.compress.resize import cut_sized
from thinfer.compress.state import State
from thinfer.compress.stitch import Stitcher
from thinfer.compress.walk import pack
from thinfer.core.progress import SilentProgress
from thinfer.errors import DataError, UserError

BATCH = toy_batch(64, seed=5)
ROWS = np.argsort(BATCH.lengths, kind="stable")


def build(*, layers: int = 3, keep: bool = True) -> tuple[State, Ladders]:
    state = toy_state(toy_architecture(((4, 32),) * layers))
    settings = PruneSettings(neuron_step=8, keep_moments=keep)
    ladders = build_ladders(state, BATCH, rng=np.random.default_rng(0), settings=settings)
    return state, ladders


def test_a_stitched_model_with_all_widths_loses_nothing() -> None:
    state, ladders = build()
    stitcher = Stitcher(state, ladders, pack(BATCH, ROWS))
    full = [int(ladder.widths[-1]) for ladder in ladders.blocks]
    assert stitcher.judge(full) == pytest.approx(0.0, abs=1e-7)
    assert stitcher.judge([0] * len(full)) > stitcher.judge(full)


def test_the_search_finds_what_brute_force_finds_on_three_layers() -> None:
    state, ladders = build()
    stitcher = Stitcher(state, ladders, pack(BATCH, ROWS))
    table = count_costs(ladders, length=12)
    costs = [cost for pair in zip(table.heads, table.neurons, strict=True) for cost in pair]
    # A coarse choice, so that every combination can be tried.
    few = [np.unique([0, len(cost) // 2, len(cost) - 1]) for cost in costs]
    errors = [block.errors[each] for block, each in zip(ladders.blocks, few, strict=True)]
    costs = [cost[each] for cost, each in zip(costs, few, strict=True)]
    budget = 0.5 * sum(float(cost[-1]) for cost in costs)

    def judge(options: tuple[int, ...]) -> float:
        picked = zip(ladders.blocks, few, options, strict=True)
        return stitcher.judge([int(block.widths[each[at]]) for block, each, at in picked])

    every = itertools.product(*(range(len(cost)) for cost in costs))
    within = [
        options
        for options in every
        if sum(float(cost[at]) for cost, at in zip(costs, options, strict=True)) <= budget
    ]
    best = min(judge(options) for options in within)
    settings = SearchSettings(evaluations=120)
    found = search_options(
        errors, costs, budget, judge, settings=settings, progress=SilentProgress()
    )
    assert found.options in within
    assert found.loss <= best + 1e-9
    assert found.loss <= found.first_loss


@pytest.mark.parametrize("kind", ["true", "upside down"])
def test_a_rough_judge_leads_and_the_exact_one_decides(kind: str) -> None:
    state, ladders = build()
    stitcher = Stitcher(state, ladders, pack(BATCH, ROWS))
    table = count_costs(ladders, length=12)
    costs = [cost for pair in zip(table.heads, table.neurons, strict=True) for cost in pair]
    errors = [block.errors for block in ladders.blocks]
    budget = 0.5 * sum(float(cost[-1]) for cost in costs)
    exactly: list[tuple[int, ...]] = []

    def judge(options: tuple[int, ...], *, is_rough: bool = False) -> float:
        picked = zip(ladders.blocks, options, strict=True)
        widths = [int(block.widths[at]) for block, at in picked]
        return stitcher.judge(widths, is_rough=is_rough)

    def exact(options: tuple[int, ...]) -> float:
        exactly.append(options)
        return judge(options)

    def rough(options: tuple[int, ...]) -> float:
        return judge(options, is_rough=True) * (1.0 if kind == "true" else -1.0)

    settings = SearchSettings(evaluations=24)
    found = search_options(
        errors, costs, budget, exact, settings=settings, progress=SilentProgress(), rough=rough
    )
    assert found.judged > len(exactly)
    assert 4 <= len(exactly) <= 5
    assert len(set(exactly)) == len(exactly)
    assert found.options in exactly
    assert found.loss == min(judge(options) for options in exactly)
    assert found.loss <= found.first_loss
    if kind == "true":
        assert found.loss < found.first_loss


def test_multiplying_in_bf16_hardly_changes_what_a_choice_loses() -> None:
    state, ladders = build()
    stitcher = Stitcher(state, ladders, pack(BATCH, ROWS))
    half = [int(ladder.widths[len(ladder.widths) // 2]) for ladder in ladders.blocks]
    exact, rough = stitcher.judge(half), stitcher.judge(half, is_rough=True)
    assert exact > 1e-4
    assert rough == pytest.approx(exact, rel=0.1)


def test_one_evaluation_takes_the_sum_of_losses() -> None:
    state, ladders = build(layers=2)
    target = PruneTarget(ratio=0.5)
    plain, _ = prune_to(state, ladders, BATCH, target)
    once, report = prune_to(state, ladders, BATCH, target, search=SearchSettings(evaluations=1))
    assert once.architecture == plain.architecture
    assert report.details["search"]["judged"] == 1


def test_the_same_seed_chooses_the_same_widths() -> None:
    state, ladders = build(layers=2)
    search = SearchSettings(evaluations=12, seed=3)
    ends = [
        prune_to(state, ladders, BATCH, PruneTarget(ratio=0.4), search=search)[0] for _ in range(2)
    ]
    assert ends[0].architecture == ends[1].architecture
    for name, array in ends[0].weights.items():
        np.testing.assert_array_equal(array, ends[1].weights[name])


def test_ladders_without_moments_cannot_be_searched() -> None:
    state, ladders = build(layers=2, keep=False)
    with pytest.raises(DataError, match="moments"):
        prune_to(state, ladders, BATCH, PruneTarget(ratio=0.5), search=SearchSettings())


@pytest.mark.parametrize("bad", [{"evaluations": 0}, {"spread": 0.0}, {"share": 1.5}])
def test_impossible_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UserError, match="impossible"):
        SearchSettings(**bad)  # type: ignore[arg-type]  # evaluations is whole in its one case


def test_stitched_models_judge_smaller_heads_by_running_them() -> None:
    state = toy_state(wide_architecture(1))
    settings = PruneSettings(neuron_step=8, keep_moments=True, resize_heads=True)
    ladders = build_ladders(state, BATCH, rng=np.random.default_rng(0), settings=settings)
    stitcher = Stitcher(state, ladders, pack(BATCH, ROWS))
    option = HeadOption(heads=2, qk_size=8, value_size=8)
    mask = PruningMask.keep_all(state.architecture)
    small = cut_sized(state, mask, ladders.sized, {0: option})
    stitched = stitcher.stitch([2, 32], {0: option})
    assert stitched.architecture == small.architecture
    for name, array in stitched.weights().items():
        np.testing.assert_array_equal(array, small.weights[name])
    whole, halved = stitcher.judge([2, 32]), stitcher.judge([2, 32], {0: option})
    assert whole == pytest.approx(0.0, abs=1e-7)
    assert whole < halved < stitcher.judge([0, 32])
    assert stitcher.judge([2, 32], {0: option}) == halved  # kept, and the same again
