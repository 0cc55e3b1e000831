"""Relations compare models of any number of heads, and padding has no part in them."""

import math

import numpy as np
import pytest
import torch

from tests.support.toy_models import toy_architecture, toy_batch, toy_state
from thinfer.compress.relations import choose_pair, compare_relations, recorded_projections
from thinfer.errors import UserError
from thinfer.nn.predict import pad_inputs

KINDS = ("query", "key", "value")
TWO = toy_architecture(((4, 8), (4, 8)))


def projections(
    width: int, *, seed: int, texts: int = 2, length: int = 5
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {kind: torch.randn(texts, length, width, generator=generator) for kind in KINDS}


def naive(
    given: dict[str, torch.Tensor],
    wanted: dict[str, torch.Tensor],
    lengths: list[int],
    heads: int,
) -> float:
    """Text by text and token by token, without padding."""
    losses = []
    for kind in KINDS:
        for text, length in enumerate(lengths):
            for head in range(heads):
                own, aim = (
                    torch.softmax(part @ part.T / math.sqrt(part.shape[1]), dim=1)
                    for part in (
                        each[kind][text, :length].chunk(heads, dim=1)[head]
                        for each in (given, wanted)
                    )
                )
                losses += (aim * (aim / own).log()).sum(1).tolist()
    return float(np.mean(losses))


@pytest.mark.parametrize(("most", "heads"), [(1, 1), (2, 2), (3, 2), (12, 4)])
def test_it_equals_the_formula_over_real_tokens(most: int, heads: int) -> None:
    given, wanted = projections(8, seed=1), projections(12, seed=2)  # common divisor 4
    real = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    found = compare_relations(given, wanted, real, most_heads=most)
    assert float(found) == pytest.approx(naive(given, wanted, [5, 3], heads), rel=1e-5)


def test_what_stands_in_padding_changes_nothing() -> None:
    given, wanted = projections(8, seed=1), projections(8, seed=2)
    real = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    before = compare_relations(given, wanted, real, most_heads=4)
    for part in (*given.values(), *wanted.values()):
        part[1, 3:] = 1e3
    torch.testing.assert_close(compare_relations(given, wanted, real, most_heads=4), before)


def test_equal_models_are_not_apart_and_a_gradient_flows_elsewhere() -> None:
    wanted = projections(8, seed=2)
    real = torch.ones(2, 5, dtype=torch.bool)
    assert float(compare_relations(wanted, wanted, real, most_heads=4)) == pytest.approx(
        0, abs=1e-6
    )
    given = {kind: part.requires_grad_() for kind, part in projections(8, seed=1).items()}
    torch.autograd.backward(compare_relations(given, wanted, real, most_heads=4))
    for part in given.values():
        assert part.grad is not None
        assert bool(part.grad.isfinite().all())
        assert float(part.grad.abs().sum()) > 0


def test_one_token_relates_to_itself_alone() -> None:
    given, wanted = projections(8, seed=1, length=1), projections(8, seed=2, length=1)
    real = torch.ones(2, 1, dtype=torch.bool)
    assert float(compare_relations(given, wanted, real, most_heads=2)) == 0.0


@pytest.mark.parametrize(
    ("student", "pair"),
    [
        (((4, 8), (2, 8)), (1, 1)),
        (((4, 8), (0, 8)), (0, 0)),  # equally deep: layer i came from layer i
        (((4, 8),), (0, 1)),
        (((0, 8), (4, 8), (0, 8)), (1, 1)),
        (((0, 8), (0, 8)), None),
        (((0, 8),), None),
    ],
)
def test_the_pair_is_the_last_with_attention(
    student: tuple[tuple[int, int], ...], pair: tuple[int, int] | None
) -> None:
    assert choose_pair(toy_architecture(student), TWO) == pair


@pytest.mark.parametrize("wanted", [(0, 1), (1, 2), (1, -1)])
def test_a_layer_without_attention_cannot_be_asked_for(wanted: tuple[int, int]) -> None:
    student = toy_architecture(((0, 8), (4, 8)))
    with pytest.raises(UserError, match="has no attention to compare"):
        choose_pair(student, TWO, wanted)
    assert choose_pair(student, TWO, (1, 0)) == (1, 0)


def test_projections_are_recorded_inside_the_block_only() -> None:
    state = toy_state(TWO)
    module, batch = state.module(), toy_batch(3)
    inputs = pad_inputs(batch, state.pad_id)
    with recorded_projections(module, 1) as found:
        module(*inputs)
    assert {kind: part.shape[-1] for kind, part in found.items()} == dict.fromkeys(KINDS, 16)
    found.clear()
    module(*inputs)
    assert not found
