"""The sequential refit, block by block."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.support.toy_models import logits_of, toy_architecture, toy_batch, toy_state
from thinfer.architecture import PruningMask
from thinfer.compress.repair import Calibration, refit
from thinfer.compress.ridge import RidgeFit
from thinfer.compress.state import State
from thinfer.compress.surgery import cut
from thinfer.compress.walk import pack
from thinfer.core.progress import SilentProgress

BATCH = toy_batch(200, seed=5)
OTHER = toy_batch(100, seed=6)


def calibration_for(state: State) -> Calibration:
    packed = pack(BATCH, np.argsort(BATCH.lengths, kind="stable"))
    blocks = 2 * len(state.architecture.layers)
    return Calibration(packed=packed, token_weights=torch.ones(blocks, len(packed.ids)))


def distance(one: State, other: State) -> float:
    return float((logits_of(one, OTHER) - logits_of(other, OTHER)).square().mean())


def half(state: State) -> PruningMask:
    """Every second head and neuron."""
    mask = PruningMask.keep_all(state.architecture)
    return dataclasses.replace(
        mask,
        heads=tuple(np.arange(len(part)) % 2 == 0 for part in mask.heads),
        neurons=tuple(np.arange(len(part)) % 2 == 0 for part in mask.neurons),
    )


def test_refit_comes_closer_on_texts_it_did_not_see() -> None:
    state = toy_state()
    mask = half(state)
    repaired = refit(state, mask, calibration_for(state), progress=SilentProgress())
    assert repaired.architecture == cut(state, mask).architecture
    assert distance(repaired, state) < 0.7 * distance(cut(state, mask), state)


def test_no_refit_is_worse_than_none_on_its_check() -> None:
    state = toy_state()
    repaired = refit(state, half(state), calibration_for(state), progress=SilentProgress())
    refits = repaired.history[-1].details["refits"]
    assert set(refits) == {
        "layers.0.heads",
        "layers.0.neurons",
        "layers.1.heads",
        "layers.1.neurons",
        "pooler",
        "head",
    }
    assert all(fit["after"] <= fit["before"] for fit in refits.values())


def test_blocks_before_the_first_cut_stay_untouched() -> None:
    state = toy_state()
    mask = PruningMask.keep_all(state.architecture)
    mask = dataclasses.replace(mask, neurons=(mask.neurons[0], half(state).neurons[1]))
    calibration = calibration_for(state)
    repaired = refit(state, mask, calibration, progress=SilentProgress(), refit_head=False)
    changed = {
        name
        for name, array in repaired.weights.items()
        if not np.array_equal(array, state.weights[name])  # shapes included
    }
    assert changed == {
        "layers.1.ffn.up.weight",
        "layers.1.ffn.up.bias",
        "layers.1.ffn.down.weight",
        "layers.1.ffn.down.bias",
    }


def test_the_layer_before_a_dropped_one_takes_over_its_norm() -> None:
    state = toy_state(toy_architecture(((2, 16), (2, 16), (2, 16))))
    weights = {name: array.copy() for name, array in state.weights.items()}
    weights["layers.1.ffn.norm.weight"] *= 1.5
    state = dataclasses.replace(state, weights=weights)
    mask = dataclasses.replace(PruningMask.keep_all(state.architecture), layers=(True, False, True))
    repaired = refit(state, mask, calibration_for(state), progress=SilentProgress())
    np.testing.assert_array_equal(
        repaired.weights["layers.0.ffn.norm.weight"], state.weights["layers.1.ffn.norm.weight"]
    )
    assert distance(repaired, state) < distance(cut(state, mask), state)


def test_a_ridge_that_failed_degrades_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def limp(inputs: torch.Tensor, missing: torch.Tensor, *rest: object) -> RidgeFit:
        del rest
        weight = np.zeros((missing.shape[1], inputs.shape[1]))
        return RidgeFit(
            weight=weight,
            bias=np.zeros(missing.shape[1]),
            choice="ridge 1",
            before=1.0,
            after=0.9,
            failed=(1e-4,),
        )

    monkeypatch.setattr("thinfer.compress.repair.fit_ridge", limp)
    state = toy_state()
    repaired = refit(state, half(state), calibration_for(state), progress=SilentProgress())
    assert repaired.history[-1].outcome == "degraded"
    assert "layers.0.heads" in repaired.history[-1].reason
