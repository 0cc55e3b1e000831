"""Recipes are read before any work; what is wrong in one is named with its place."""

from fractions import Fraction
from pathlib import Path

import pytest

from thinfer.core.codec import to_json
from thinfer.errors import UserError
from thinfer.pipeline.recipe import (
    DistillStep,
    LayerDropStep,
    MaxLengthStep,
    PruneStep,
    Recipe,
    SparsifyStep,
    read_recipe,
)

WHOLE = """
[[step]]
kind = "max_length"
tokens = 24
[[step]]
kind = "layer_drop"
layers = [1, 3]
[[step]]
kind = "prune"
width = "3/4"
[[step]]
kind = "sparsify"
pattern = "2:4"
epochs = 3
[[step]]
kind = "distill"
epochs = 1
learning_rate = 1
"""


def read(tmp_path: Path, text: str) -> Recipe:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return read_recipe(path)


def test_steps_are_read_in_order(tmp_path: Path) -> None:
    recipe = read(tmp_path, WHOLE)
    assert recipe.steps == (
        MaxLengthStep(tokens=24),
        LayerDropStep(layers=(1, 3)),
        PruneStep(width="3/4"),
        SparsifyStep(pattern="2:4", epochs=3),
        DistillStep(epochs=1, learning_rate=1.0),
    )
    assert to_json(recipe) == to_json(read(tmp_path, WHOLE))


def test_a_width_is_a_fraction_or_a_number() -> None:
    assert PruneStep(width="2/3").part == Fraction(2, 3)
    assert PruneStep(width=0.75).part == Fraction(3, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "list of steps"),
        ("step = 3", "list of steps"),
        ("steps = []\n[[step]]\nkind = 'distill'", "steps"),
        ("[[step]]\nepochs = 1", "kind = one of"),
        ("[[step]]\nkind = 'shrink'", "'shrink'"),
        ("[[step]]\nkind = 'distill'\nepoch = 1", r"\['epoch'\]"),
        ("[[step]]\nkind = 'distill'\nepochs = 'two'", "'two'"),
        ("[[step]]\nkind = 'distill'\nepochs = 1.5", "1.5"),
        ("[[step]]\nkind = 'sparsify'\nmethod = 'guess'", "'guess'"),
        ("[[step]]\nkind = 'max_length'", "tokens"),
        ("[[step]]\nkind = 'layer_drop'", "either 'layers'"),
        ("[[step]]\nkind = 'layer_drop'\nlayers = [0]\ncount = 1", "either 'layers'"),
        ("[[step]]\nkind = 'layer_drop'\nlayers = [1, 1]", "either 'layers'"),
        ("[[step]]\nkind = 'layer_drop'\ncount = -1", "either 'layers'"),
        ("[[step]]\nkind = 'prune'", "either 'width'"),
        ("[[step]]\nkind = 'prune'\nwidth = 'half'", "either 'width'"),
        ("[[step]]\nkind = 'prune'\nwidth = 1", "either 'width'"),
        ("[[step]]\nkind = 'prune'\nspeedup = 1", "either 'width'"),
        ("[[step]]\nkind = 'prune'\nspeedup = nan", "either 'width'"),
        ("[[step]]\nkind = 'prune'\nwidth = 0.5\nspeedup = 2", "either 'width'"),
        ("[[step]", "is not TOML"),
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(tmp_path, text)


def test_the_message_says_which_step(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, WHOLE + "[[step]]\nkind = 'distill'\nalphas = 1")
    assert "step 6" in str(caught.value)
    assert "recipe.toml" in str(caught.value)
    assert "alpha" in str(caught.value.expected)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("late", [PruneStep(width="1/2"), LayerDropStep(count=1)])
def test_what_would_fill_zeros_is_refused(late: PruneStep | LayerDropStep) -> None:
    with pytest.raises(UserError, match="would fill the zeros"):
        Recipe(steps=(SparsifyStep(sparsity=0.5), DistillStep(), late))
    assert Recipe(steps=(late, SparsifyStep(sparsity=0.5), DistillStep()))


@pytest.mark.parametrize("early", [PruneStep(width="1/2"), LayerDropStep(count=1)])
def test_a_speedup_after_a_cut_is_refused(early: PruneStep | LayerDropStep) -> None:
    with pytest.raises(UserError, match="cut already"):
        Recipe(steps=(early, PruneStep(speedup=2.0)))


def test_no_steps_are_refused() -> None:
    with pytest.raises(UserError, match="needs a step"):
        Recipe(steps=())
