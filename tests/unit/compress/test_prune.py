"""Ladders, choice, cut and repair together, on a model that has learned something."""

import dataclasses
import functools

import numpy as np
import pytest

from tests.support.toy_models import (
    accuracy_of,
    logits_of,
    toy_architecture,
    toy_batch,
    toy_state,
    toy_task,
    trained_state,
    wide_architecture,
)
from thinfer.architecture import count_cost
from thinfer.compress.costs import BlockCosts, count_costs
from thinfer.compress.ladder import Ladders
from thinfer.compress.prune import (
    PruneSettings,
    PruneTarget,
    SearchSettings,
    build_ladders,
    prune_to,
)
from thinfer.errors import DataError, UserError

SETTINGS = PruneSettings(neuron_step=8)
CALIBRATION, _ = toy_task(400, seed=2)
DEV, TRUTH = toy_task(1500, seed=3)


@functools.cache
def ladders() -> Ladders:
    return build_ladders(
        trained_state(), CALIBRATION, rng=np.random.default_rng(0), settings=SETTINGS
    )


def test_ladders_offer_zero_to_all_with_falling_errors() -> None:
    for ladder in ladders().blocks:
        full = 4 if ladder.kind == "heads" else 64
        assert (int(ladder.widths[0]), int(ladder.widths[-1])) == (0, full)
        assert np.all(np.diff(ladder.errors) <= 0.0)
        assert ladder.errors[0] > 0.0 == ladder.errors[-1]
    assert [(ladder.layer, ladder.kind) for ladder in ladders().blocks] == [
        (0, "heads"),
        (0, "neurons"),
        (1, "heads"),
        (1, "neurons"),
    ]
    assert ladders().degradations == ()


def test_the_same_seed_builds_the_same_ladders() -> None:
    again = build_ladders(
        trained_state(), CALIBRATION, rng=np.random.default_rng(0), settings=SETTINGS
    )
    for one, other in zip(ladders().blocks, again.blocks, strict=True):
        np.testing.assert_array_equal(one.order, other.order)
        np.testing.assert_array_equal(one.errors, other.errors)


def prune(target: PruneTarget) -> float:
    """Accuracy after pruning the trained state to a target."""
    small, _ = prune_to(trained_state(), ladders(), CALIBRATION, target)
    return accuracy_of(small, DEV, TRUTH)


@pytest.mark.parametrize(
    "target", [PruneTarget(ratio=0.5), PruneTarget(ratio=0.35), PruneTarget(widths=((2, 12),) * 2)]
)
def test_repair_keeps_accuracy_that_cutting_loses(target: PruneTarget) -> None:
    whole = accuracy_of(trained_state(), DEV, TRUTH)
    repaired = prune(target)
    plain = prune(dataclasses.replace(target, is_refitted=False))
    assert whole > 0.9
    assert repaired > plain
    assert whole - repaired < 0.5 * (whole - plain)


def test_uneven_widths_beat_even_ones_of_the_same_cost() -> None:
    assert prune(PruneTarget(ratio=0.5)) >= prune(PruneTarget(widths=((2, 32), (2, 32))))


@pytest.mark.parametrize("ratio", [0.75, 0.5, 0.25])
def test_a_ratio_is_kept(ratio: float) -> None:
    state = trained_state()
    small, report = prune_to(state, ladders(), CALIBRATION, PruneTarget(ratio=ratio))
    length = round(float(CALIBRATION.lengths.mean()))
    costs = [
        count_cost(dataclasses.replace(state.architecture, layers=layers), length=length).macs
        for layers in (small.architecture.layers, state.architecture.layers, ())
    ]
    kept = (costs[0] - costs[2]) / (costs[1] - costs[2])
    assert ratio - 0.2 < kept <= ratio
    assert report.details["cost_ratio"] == pytest.approx(kept)
    assert [step.step for step in small.history] == ["prune"]


def test_ratio_one_changes_nothing() -> None:
    state = trained_state()
    same, _ = prune_to(state, ladders(), CALIBRATION, PruneTarget(ratio=1.0))
    assert same.architecture == state.architecture
    np.testing.assert_allclose(logits_of(same, DEV), logits_of(state, DEV), atol=1e-5)


def test_a_measured_table_moves_the_choice() -> None:
    """Where heads cost nothing they all stay, and the neurons pay."""
    counted = count_costs(ladders(), length=10)
    free = BlockCosts(heads=tuple(0.0 * part for part in counted.heads), neurons=counted.neurons)
    budget = 0.3 * sum(float(part[-1]) for part in counted.neurons)
    target = PruneTarget(budget=budget, is_refitted=False)
    small, _ = prune_to(trained_state(), ladders(), CALIBRATION, target, costs=free)
    assert [layer.heads for layer in small.architecture.layers] == [4, 4]
    kept = [layer.ffn for layer in small.architecture.layers]
    spent = sum(
        float(prices[int(np.flatnonzero(ladder.widths == width)[0])])
        for prices, ladder, width in zip(counted.neurons, ladders().neurons, kept, strict=True)
    )
    assert spent <= budget
    assert sum(kept) < 128


@pytest.mark.parametrize("layer", [0, 1])
def test_a_dropped_layer_is_made_up_for(layer: int) -> None:
    state = trained_state()
    target = PruneTarget(widths=((4, 64), (4, 64)), drop_layers=(layer,))
    repaired, report = prune_to(state, ladders(), CALIBRATION, target)
    plain, _ = prune_to(
        state, ladders(), CALIBRATION, dataclasses.replace(target, is_refitted=False)
    )
    assert report.details["layers"] == [[4, 64]]
    assert accuracy_of(repaired, DEV, TRUTH) >= accuracy_of(plain, DEV, TRUTH)


def test_everything_may_go_but_the_layers_themselves() -> None:
    target = PruneTarget(widths=((0, 0), (0, 0)))
    small, report = prune_to(trained_state(), ladders(), CALIBRATION, target)
    assert report.details["layers"] == [[0, 0], [0, 0]]
    assert np.isfinite(logits_of(small, DEV).numpy()).all()


def test_a_pruned_state_can_be_pruned_again() -> None:
    state = toy_state(toy_architecture(((3, 16), (0, 8), (2, 0))))
    batch = toy_batch(60)
    again = build_ladders(state, batch, rng=np.random.default_rng(0), settings=SETTINGS)
    small, _ = prune_to(state, again, batch, PruneTarget(ratio=0.5))
    assert small.architecture.layers[1].heads == small.architecture.layers[2].ffn == 0


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"ratio": 0.5, "budget": 1.0},
        {"ratio": 0.0},
        {"ratio": 1.5},
    ],
)
def test_an_unclear_target_is_refused(target: dict[str, float]) -> None:
    with pytest.raises(UserError, match="not clear"):
        PruneTarget(**target)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "target",
    [
        PruneTarget(ratio=0.5, drop_layers=(2,)),
        PruneTarget(widths=((1, 1),)),
        PruneTarget(budget=-1.0),
    ],
)
def test_an_impossible_target_is_refused(target: PruneTarget) -> None:
    with pytest.raises(UserError):
        prune_to(trained_state(), ladders(), CALIBRATION, target)


def test_dropping_every_layer_is_refused() -> None:
    target = PruneTarget(widths=((4, 64), (4, 64)), drop_layers=(0, 1))
    with pytest.raises(DataError, match="every layer"):
        prune_to(trained_state(), ladders(), CALIBRATION, target)


def test_what_does_not_belong_together_is_refused() -> None:
    target = PruneTarget(ratio=0.5)
    with pytest.raises(DataError, match="another architecture"):
        prune_to(toy_state(), ladders(), CALIBRATION, target)
    with pytest.raises(DataError, match="calibration batch"):
        prune_to(trained_state(), ladders(), CALIBRATION.select(range(399)), target)


def test_raised_damping_degrades_the_report() -> None:
    first = dataclasses.replace(ladders().heads[0], damping=1.0, is_degraded=True)
    weaker = dataclasses.replace(ladders(), heads=(first, *ladders().heads[1:]))
    _, report = prune_to(trained_state(), weaker, CALIBRATION, PruneTarget(ratio=0.5))
    assert report.outcome == "degraded"
    assert "layer 0 heads: damping raised to 1" in report.reason


@pytest.mark.parametrize("field", ["max_tokens", "neuron_step", "damping"])
def test_impossible_settings_are_refused(field: str) -> None:
    with pytest.raises(UserError, match="settings of pruning"):
        PruneSettings(**{field: 0})  # type: ignore[arg-type]  # none of them is a bool


def test_a_narrow_ffn_still_gets_a_choice() -> None:
    state = toy_state(toy_architecture(((2, 512), (2, 40))))
    built = build_ladders(state, toy_batch(30), rng=np.random.default_rng(0))
    assert [len(ladder.widths) for ladder in built.neurons] == [17, 4]  # steps of 32 and of 16


@functools.cache
def sized_ladders() -> Ladders:
    settings = PruneSettings(neuron_step=8, resize_heads=True, keep_moments=True)
    state = toy_state(wide_architecture())
    return build_ladders(state, toy_batch(150), rng=np.random.default_rng(0), settings=settings)


@pytest.mark.parametrize("search", [None, SearchSettings(evaluations=12)])
def test_smaller_heads_are_cut_and_repaired_like_any_width(search: SearchSettings | None) -> None:
    state, batch = toy_state(wide_architecture()), toy_batch(150)
    plain = dataclasses.replace(sized_ladders(), sized=())
    target = PruneTarget(ratio=0.6)
    small, report = prune_to(state, sized_ladders(), batch, target, search=search)
    before, other = prune_to(state, plain, batch, target, search=search)
    sizes = [[layer.qk_size, layer.value_size] for layer in small.architecture.layers]
    assert report.details["head_sizes"] == sizes != [[16, 16]] * 2
    assert "head_sizes" not in other.details
    assert [[layer.qk_size, layer.value_size] for layer in before.architecture.layers] == [
        [16, 16]
    ] * 2
    if search is None:
        assert report.details["predicted_loss"] < other.details["predicted_loss"]
    refitted, cut_only = (
        prune_to(
            state,
            sized_ladders(),
            batch,
            dataclasses.replace(target, is_refitted=fit),
            search=search,
        )[0]
        for fit in (True, False)
    )
    wanted = logits_of(state, toy_batch(60, seed=9))
    loss = [
        float((logits_of(each, toy_batch(60, seed=9)) - wanted).square().mean())
        for each in (refitted, cut_only)
    ]
    assert refitted.architecture == cut_only.architecture == small.architecture
    assert loss[0] < loss[1]


def test_a_dropped_layer_and_smaller_heads_go_together() -> None:
    state, batch = toy_state(wide_architecture()), toy_batch(150)
    target = PruneTarget(ratio=0.15, drop_layers=(0,))
    small, report = prune_to(state, sized_ladders(), batch, target)
    assert len(small.architecture.layers) == 1
    assert report.details["head_sizes"] != [[16, 16]]
    assert np.isfinite(logits_of(small, batch).numpy()).all()


def test_a_state_with_smaller_heads_can_be_pruned_again() -> None:
    state, batch = toy_state(wide_architecture()), toy_batch(150)
    small, _ = prune_to(state, sized_ladders(), batch, PruneTarget(ratio=0.6))
    settings = PruneSettings(neuron_step=8, resize_heads=True)
    again = build_ladders(small, batch, rng=np.random.default_rng(0), settings=settings)
    assert len(again.sized) == 2
    smaller, _ = prune_to(small, again, batch, PruneTarget(ratio=0.7))
    assert np.isfinite(logits_of(smaller, batch).numpy()).all()
