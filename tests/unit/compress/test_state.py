"""A state cannot be changed from outside, and refuses parts that do not fit."""

import dataclasses

import pytest
import torch

from tests.support.toy_models import logits_of, toy_batch, toy_state
from thinfer.compress.step import StepReport
from thinfer.errors import DataError


def test_weights_are_read_only() -> None:
    state = toy_state()
    with pytest.raises(ValueError, match="read-only"):
        state.weights["head.bias"][0] = 1.0
    with pytest.raises(TypeError):
        state.weights["head.bias"] = state.weights["head.bias"]  # type: ignore[index]


def test_training_the_module_leaves_the_state_alone() -> None:
    state, batch = toy_state(), toy_batch(2)
    before = logits_of(state, batch)
    with torch.no_grad():
        for value in state.module().parameters():
            value.add_(1.0)
    assert torch.equal(logits_of(state, batch), before)


def test_replace_keeps_the_rest_and_adds_to_the_history() -> None:
    state = toy_state()
    report = StepReport(step="one", outcome="applied")
    later = state.replace(report).replace(StepReport(step="two", outcome="refused", reason="no"))
    assert [step.step for step in later.history] == ["one", "two"]
    assert later.weights.keys() == state.weights.keys()
    assert state.history == ()


def test_labels_must_fit_the_head() -> None:
    with pytest.raises(DataError, match="labels"):
        dataclasses.replace(toy_state(), labels=("one",))


def test_weights_must_fit_the_architecture() -> None:
    state = toy_state()
    weights = {name: array for name, array in state.weights.items() if name != "head.bias"}
    with pytest.raises(DataError, match=r"head\.bias"):
        dataclasses.replace(state, weights=weights).module()
