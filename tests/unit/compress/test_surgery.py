"""What surgery refuses; what it does right is a law (tests/law/test_mask_equals_slice.py)."""

import dataclasses

import numpy as np
import pytest

from tests.support.toy_models import toy_state
from thinfer.architecture import PruningMask
from thinfer.compress.surgery import cut
from thinfer.errors import DataError


def test_a_mask_of_another_shape_is_refused() -> None:
    state = toy_state()
    mask = PruningMask.keep_all(state.architecture)
    wrong = dataclasses.replace(mask, heads=(np.ones(9, dtype=np.bool_), *mask.heads[1:]))
    with pytest.raises(DataError, match="does not fit"):
        cut(state, wrong)


def test_the_old_state_stays_whole() -> None:
    state = toy_state()
    mask = PruningMask.keep_all(state.architecture)
    small = cut(state, dataclasses.replace(mask, layers=(False, True)))
    assert (len(small.architecture.layers), len(state.architecture.layers)) == (1, 2)
    np.testing.assert_array_equal(
        small.weights["layers.0.ffn.up.weight"], state.weights["layers.1.ffn.up.weight"]
    )
    assert small.history[-1].details["layers"] == [[4, 32]]
