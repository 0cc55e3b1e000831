"""The packed walk against the module's own padded forward."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.support.toy_models import as_state, logits_of, toy_architecture, toy_batch, toy_state
from thinfer.architecture import Architecture
from thinfer.compress import walk
from thinfer.compress.state import State
from thinfer.compress.walk import classify, embed, list_blocks, pack, run_blocks
from thinfer.text.batch import Batch


def walked_logits(state: State, batch: Batch) -> torch.Tensor:
    """Logits of the walk, in the batch's order."""
    rows = np.argsort(batch.lengths, kind="stable")
    packed, module = pack(batch, rows), state.module()
    with torch.no_grad():
        states = run_blocks(list_blocks(module), embed(module, packed), packed)
        logits = classify(module, states, packed)
    return logits[torch.from_numpy(np.argsort(rows))]


SHAPES = [
    toy_architecture(),
    toy_architecture(((4, 8), (0, 8), (2, 0), (0, 0))),
    toy_architecture(position_offset=2),
    dataclasses.replace(toy_architecture(), type_rows=0, task_rows=3, activation="relu"),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_walk_equals_forward(shape: Architecture) -> None:
    state, batch = toy_state(shape), toy_batch(13)
    torch.testing.assert_close(
        walked_logits(state, batch), logits_of(state, batch), rtol=1e-4, atol=1e-5
    )


def test_walk_does_not_depend_on_how_texts_are_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    state, batch = toy_state(), toy_batch(20, longest=4)
    whole = walked_logits(state, batch)
    monkeypatch.setattr(walk, "_CHUNK", 5)
    torch.testing.assert_close(walked_logits(state, batch), whole, rtol=1e-4, atol=1e-5)


def test_parts_cover_every_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "_CHUNK", 16)
    batch = toy_batch(30)
    packed = pack(batch, np.argsort(batch.lengths, kind="stable"))
    parts = list(packed.parts())
    assert len(parts) > 3
    assert torch.equal(torch.cat([part.ids for _, part in parts]), packed.ids)
    firsts = torch.cat([part.first + where.start for where, part in parts])
    assert torch.equal(firsts, packed.first)


def test_a_round_trip_of_weights_changes_nothing() -> None:
    state, batch = toy_state(), toy_batch(3)
    again = as_state(state.module())
    assert torch.equal(logits_of(again, batch), logits_of(state, batch))
