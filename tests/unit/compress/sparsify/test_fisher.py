"""Block Fisher: gradients against autograd, scores and updates against the least squares."""

import numpy as np
import pytest
import torch

from tests.support.toy_models import toy_architecture, toy_batch, toy_state
from thinfer.compress.sparsify.fisher import (
    BlockFisher,
    damp_fisher,
    measure_fisher,
    score_fisher,
    update_fisher,
)
from thinfer.compress.sparsify.pattern import Pattern, parse_pattern
from thinfer.compress.zeros import list_matrices
from thinfer.errors import DataError


def random_fisher(blocks: int, size: int, seed: int = 0) -> BlockFisher:
    rng = np.random.default_rng(seed)
    roots = torch.from_numpy(rng.normal(size=(blocks, size, size)).astype(np.float32))
    return damp_fisher(roots @ roots.transpose(1, 2), 0.01)


def test_two_classes_give_the_exact_fisher_of_the_softened_answer() -> None:
    """The sum over both classes of p g gᵀ, text by text, by plain autograd."""
    state = toy_state(toy_architecture(((2, 8),), classes=2))
    batch, name = toy_batch(5, longest=7), "layers.0.ffn.up.weight"
    found = dict(measure_fisher(state.module(), batch, pad_id=0, size=16, rng=_rng()))[name]
    module = state.module()
    wanted = torch.zeros(8, 16, 16)
    for row in range(5):
        inputs = [torch.from_numpy(part) for part in batch.select([row]).padded(0)]
        chances = (module(*inputs) / 2.0).log_softmax(1)[0]
        for chance in chances:
            (g,) = torch.autograd.grad(chance, module.get_parameter(name), retain_graph=True)
            wanted += float(chance.detach().exp()) * torch.einsum("oi,oj->oij", g, g) / 5
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)


def test_many_draws_of_three_classes_come_close_to_the_exact_one() -> None:
    state = toy_state(toy_architecture(((1, 4),), classes=3))
    one = toy_batch(1, longest=6)
    batch = one.select([0] * 3000)
    found = dict(measure_fisher(state.module(), batch, pad_id=0, size=4, rng=_rng()))
    name, module = "layers.0.ffn.down.weight", state.module()
    inputs = [torch.from_numpy(part) for part in one.padded(0)]
    chances = (module(*inputs) / 2.0).log_softmax(1)[0]
    wanted = torch.zeros(16, 4, 4)
    for chance in chances:
        (g,) = torch.autograd.grad(chance, module.get_parameter(name), retain_graph=True)
        wanted += float(chance.detach().exp()) * torch.einsum("oi,oj->oij", g, g)
    assert float((found[name] - wanted).norm() / wanted.norm()) < 0.1


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("layers", [((2, 8), (0, 4)), ((2, 0), (1, 8))])
def test_every_matrix_has_blocks_and_padding_of_the_batch_does_not_count(
    layers: tuple[tuple[int, int], ...],
) -> None:
    state = toy_state(toy_architecture(layers))
    batch = toy_batch(9)
    found = dict(measure_fisher(state.module(), batch, pad_id=0, size=4, rng=_rng()))
    assert list(found) == list(list_matrices(state.weights))
    for name, blocks in found.items():
        out, width = state.weights[name].shape
        assert blocks.shape == (out * width // 4, 4, 4)
        assert torch.isfinite(blocks).all()


@pytest.mark.parametrize("pattern", ["unstructured", "1x4"])
def test_a_score_is_the_loss_of_taking_one_unit_out(pattern: str) -> None:
    fisher, shape = random_fisher(6, 8), parse_pattern(pattern)
    weight = torch.from_numpy(_rng().normal(size=(3, 16)).astype(np.float32))
    scores = score_fisher(weight, fisher, shape)
    for row, start in ((0, 0), (1, 4), (2, 12)):
        stays = torch.ones(3, 16, dtype=torch.bool)
        stays[row, start : start + shape.block] = False
        moved = (update_fisher(weight, fisher, stays) - weight).view(6, 8)
        loss = 0.5 * torch.einsum("bi,bij,bj->", moved, fisher.matrices, moved)
        unit = scores[row, start : start + shape.block].sum()
        torch.testing.assert_close(loss, unit, rtol=1e-3, atol=1e-5)


def test_the_update_is_the_best_one_and_its_zeros_are_exact() -> None:
    fisher = random_fisher(4, 8)
    weight = torch.from_numpy(_rng().normal(size=(2, 16)).astype(np.float32))
    stays = torch.from_numpy(_rng().random((2, 16)) < 0.5)
    moved = update_fisher(weight, fisher, stays)
    assert (moved[~stays] == 0.0).all()
    pull = torch.einsum("bij,bj->bi", fisher.matrices, (moved - weight).view(4, 8)).view(2, 16)
    assert float(pull[stays].abs().max()) < 1e-3  # no kept weight wants to move


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_and_everything(share: float) -> None:
    fisher, weight = random_fisher(4, 8), torch.ones(2, 16)
    stays = torch.full((2, 16), share < 0.5)
    torch.testing.assert_close(update_fisher(weight, fisher, stays), weight * stays)


def test_a_row_that_is_no_multiple_of_the_block_is_filled_up() -> None:
    fisher = damp_fisher(torch.zeros(2 * 3, 4, 4) + torch.eye(4), 0.01)
    weight = torch.arange(20, dtype=torch.float32).view(2, 10)
    scores = score_fisher(weight, fisher, Pattern())
    assert scores.shape == (2, 10)
    torch.testing.assert_close(scores, weight.square() / 2 * 1.01)


def test_blocks_that_cannot_be_factorised_get_more_damping_and_say_so() -> None:
    matrices = torch.eye(4).repeat(3, 1, 1)
    matrices[1, 0, 1] = matrices[1, 1, 0] = 1.3  # smallest eigenvalue −0.3
    fisher = damp_fisher(matrices, 0.01)
    assert fisher.note == "damping raised to 1"
    assert fisher.damping == 1.0


@pytest.mark.parametrize("bad", [float("nan"), -1e9])
def test_blocks_beyond_help_are_an_error(bad: float) -> None:
    matrices = torch.eye(4).repeat(3, 1, 1)
    matrices[1, 0, 0] = bad
    if bad < 0:
        matrices[2, 0, 0] = -2 * bad
    with pytest.raises(DataError, match=r"not finite|cannot be factorised"):
        damp_fisher(matrices, 1e-5)


def test_without_a_gradient_the_score_is_the_magnitude_and_the_note_says_it() -> None:
    fisher, weight = damp_fisher(torch.zeros(4, 8, 8), 0.01), torch.arange(32.0).view(2, 16)
    assert "ranked by magnitude" in fisher.note
    torch.testing.assert_close(score_fisher(weight, fisher, Pattern()), weight.square() / 2)
