"""What is kept between prunings of one state changes no bit of any of them."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.support.toy_models import toy_batch, toy_state, toy_task, trained_state
from thinfer.compress import reference as module
from thinfer.compress.mutate import SearchSettings
from thinfer.compress.prune import Pruner, PruneSettings, PruneTarget, build_ladders, prune_to
from thinfer.compress.reference import Reference
from thinfer.compress.state import State
from thinfer.compress.walk import Packed, embed, list_blocks, pack, run_blocks
from thinfer.errors import DataError

CALIBRATION, _ = toy_task(200, seed=2)


def some_texts() -> Packed:
    batch = toy_batch(50, seed=5)
    return pack(batch, np.argsort(batch.lengths, kind="stable"))


@pytest.mark.parametrize("is_kept", [True, False])
def test_residuals_are_the_walks_in_any_order(is_kept: bool) -> None:
    state, packed = toy_state(), some_texts()
    reference = Reference(state, packed, is_kept=is_kept)
    original = state.module()
    blocks = list_blocks(original)
    with torch.no_grad():
        start = embed(original, packed)
        for index in (1, 3, 0, 2, 2):
            wanted = run_blocks(blocks[: index + 1], start, packed)
            found = reference.residual(index)
            np.testing.assert_array_equal(blocks[index].norm(found).numpy(), wanted.numpy())
        whole = run_blocks(blocks, start, packed)
    np.testing.assert_array_equal(reference.last().numpy(), whole.numpy())


def test_kept_residuals_are_not_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    state, packed = toy_state(), some_texts()
    kept, other = Reference(state, packed, is_kept=True), Reference(state, packed)
    assert kept.residual(1) is kept.residual(1)
    assert other.residual(1) is not other.residual(1)
    monkeypatch.setattr(module, "_MOST_KEPT", 1000)
    big = Reference(state, packed, is_kept=True)
    assert big.residual(1) is not big.residual(1)


@pytest.mark.parametrize("is_kept", [True, False])
def test_one_pruner_gives_every_target_what_it_gets_alone(is_kept: bool) -> None:
    state = trained_state()
    rng = np.random.default_rng(0)
    settings = PruneSettings(neuron_step=8, keep_moments=True)
    ladders = build_ladders(state, CALIBRATION, rng=rng, settings=settings)
    search = SearchSettings(evaluations=8)
    targets = [
        (PruneTarget(ratio=0.7), None),
        (PruneTarget(ratio=0.4), search),
        (PruneTarget(ratio=0.5, drop_layers=(1,)), search),
        (PruneTarget(ratio=0.3), search),
        (PruneTarget(ratio=0.4), dataclasses.replace(search, seed=1)),
        (PruneTarget(ratio=0.4, is_refitted=False), search),
    ]
    pruner = Pruner(state, ladders, CALIBRATION, is_kept=is_kept)
    for target, how in targets:
        together, report = pruner.prune(target, search=how)
        alone, same = prune_to(state, ladders, CALIBRATION, target, search=how)
        assert report == same
        assert equal(together, alone)


def test_a_pruner_refuses_ladders_of_another_model() -> None:
    ladders = build_ladders(
        trained_state(), CALIBRATION, rng=np.random.default_rng(0), settings=PruneSettings()
    )
    with pytest.raises(DataError, match="another architecture"):
        Pruner(toy_state(), ladders, CALIBRATION)


def equal(one: State, other: State) -> bool:
    return one.architecture == other.architecture and all(
        np.array_equal(array, other.weights[name]) for name, array in one.weights.items()
    )
