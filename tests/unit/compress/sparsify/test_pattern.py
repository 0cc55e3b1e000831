"""Where zeros may lie, and how many there are: none, some, all."""

import numpy as np
import pytest
import torch

from thinfer.compress.sparsify.pattern import Pattern, choose_stays, parse_pattern, score_units
from thinfer.errors import UserError


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape).astype(np.float32))


@pytest.mark.parametrize("text", ["unstructured", "1x4", "1x8", "2:4", "0:4", "4:4", "1:16"])
def test_a_name_is_read_and_given_back(text: str) -> None:
    assert parse_pattern(text).name == text


@pytest.mark.parametrize("text", ["", "4x1", "1x1", "1x0", "5:4", "2:1", "2:4:8", "dense", "-1:4"])
def test_a_name_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="pattern of zeros"):
        parse_pattern(text)


@pytest.mark.parametrize(
    "fields", [{"block": 0}, {"group": 4, "keep": 5}, {"group": 4, "block": 4}]
)
def test_an_impossible_pattern_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(UserError, match="impossible"):
        Pattern(**fields)


@pytest.mark.parametrize("is_global", [False, True])
@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("text", ["unstructured", "1x4"])
def test_the_share_of_zeros_is_the_one_asked_for(
    text: str, sparsity: float, is_global: bool
) -> None:
    scores = {"a": drawn(10, 16), "b": 3.0 * drawn(5, 8, seed=1)}
    stays = choose_stays(scores, parse_pattern(text), sparsity, is_global=is_global)
    zeros = {name: int((~mask).sum()) for name, mask in stays.items()}
    step = parse_pattern(text).block
    if is_global:
        assert sum(zeros.values()) == round(sparsity * 200 / step) * step
    else:
        assert zeros == {"a": 160 * sparsity, "b": round(sparsity * 40 / step) * step}


def test_one_ranking_spares_the_matrix_whose_weights_cost_more() -> None:
    scores = {"cheap": drawn(4, 8), "dear": drawn(4, 8) + 1.0}
    stays = choose_stays(scores, Pattern(), 0.5, is_global=True)
    assert not stays["cheap"].any()
    assert stays["dear"].all()


def test_the_cheapest_go_and_the_earlier_of_equals() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0, 1.0]])
    stays = choose_stays({"": scores}, Pattern(), 0.25, is_global=False)[""]
    assert stays.tolist() == [[True, False, True, True]]


def test_a_block_is_four_inputs_of_one_output_row() -> None:
    scores = torch.tensor([[9.0, 0, 0, 0, 1, 1, 1, 1], [1.0, 1, 1, 1, 9, 9, 9, 9]])
    stays = choose_stays({"": scores}, parse_pattern("1x4"), 0.5, is_global=False)[""]
    assert stays.tolist() == [[True] * 4 + [False] * 4, [False] * 4 + [True] * 4]


@pytest.mark.parametrize(("text", "kept"), [("2:4", 2), ("1:4", 1), ("0:4", 0), ("4:4", 4)])
def test_every_group_keeps_its_n_largest(text: str, kept: int) -> None:
    pattern, scores = parse_pattern(text), drawn(6, 16)
    stays = choose_stays({"": scores}, pattern, pattern.most, is_global=False)[""]
    groups = stays.reshape(6, -1, 4)
    assert (groups.sum(2) == kept).all()
    if 0 < kept < 4:
        values = scores.reshape(6, -1, 4)
        assert float(values[groups].min()) >= 0
        lowest_kept = values.masked_fill(~groups, 9.0).amin(2)
        assert (lowest_kept >= values.masked_fill(groups, -1.0).amax(2)).all()


def test_part_of_the_way_to_n_of_m_takes_only_weights_that_may_go() -> None:
    pattern, scores = parse_pattern("2:4"), drawn(6, 16)
    part = choose_stays({"": scores}, pattern, 0.2, is_global=False)[""]
    whole = choose_stays({"": scores}, pattern, 0.5, is_global=False)[""]
    assert int((~part).sum()) == round(0.2 * 96)
    assert (part | ~whole).all()
    assert torch.isinf(score_units(scores, pattern)[whole]).all()
