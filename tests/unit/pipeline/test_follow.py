"""The values of a recipe's steps are checked before any work."""

from typing import Any

import pytest

from thinfer.errors import UserError
from thinfer.pipeline.follow import check_recipe
from thinfer.pipeline.recipe import DistillStep, MaxLengthStep, Recipe, SparsifyStep

FIRST = DistillStep(epochs=1)


@pytest.mark.parametrize(
    "step",
    [
        SparsifyStep(sparsity=0.5),
        SparsifyStep(pattern="2:4"),
        SparsifyStep(pattern="2:4", sparsity=0.5),
        SparsifyStep(sparsity=0, epochs=2),
        SparsifyStep(sparsity=1, method="reconstruction"),
        MaxLengthStep(tokens=3),
    ],
)
def test_good_values_pass(step: Any) -> None:  # noqa: ANN401 - any step
    check_recipe(Recipe(steps=(FIRST, step)))


@pytest.mark.parametrize(
    "step",
    [
        SparsifyStep(),
        SparsifyStep(sparsity=1.5),
        SparsifyStep(sparsity=0.5, pattern="4x1"),
        SparsifyStep(sparsity=0.3, pattern="2:4"),
        SparsifyStep(sparsity=0.5, method="reconstruction", allocation="global"),
        SparsifyStep(sparsity=0.5, epochs=-1),
        SparsifyStep(sparsity=0.5, epochs=1, ramp=0.0),
        SparsifyStep(sparsity=0.5, epochs=1, learning_rate=0.0),
        DistillStep(epochs=0),
        DistillStep(alpha=2.0),
        DistillStep(batch_size=0),
        MaxLengthStep(tokens=2),
    ],
)
def test_bad_values_are_refused_with_their_step(step: Any) -> None:  # noqa: ANN401 - any step
    with pytest.raises(UserError) as caught:
        check_recipe(Recipe(steps=(FIRST, step)))
    assert "step 2" in str(caught.value)
