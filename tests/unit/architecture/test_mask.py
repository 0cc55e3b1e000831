from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from thinfer.architecture import Architecture, LayerShape, PruningMask
from thinfer.errors import DataError

SHAPE = Architecture(
    hidden=8,
    layers=(
        LayerShape(heads=2, qk_size=4, value_size=4, ffn=16),
        LayerShape(heads=0, qk_size=4, value_size=4, ffn=5),
    ),
    vocab=30,
    positions=16,
    classes=2,
)
ALL = PruningMask.keep_all(SHAPE)
ONE_MORE = np.ones(1, dtype=np.bool_)


def test_keep_all_removes_nothing_and_fits() -> None:
    assert [int(part.sum()) for part in (*ALL.heads, *ALL.neurons)] == [2, 0, 16, 5]
    assert ALL.layers == (True, True)
    ALL.check_fits(SHAPE)


@pytest.mark.parametrize(
    "mask",
    [
        replace(ALL, heads=(*ALL.heads, ONE_MORE)),
        replace(ALL, neurons=(*ALL.neurons, ONE_MORE)),
        replace(ALL, neurons=ALL.neurons[:1]),
        replace(ALL, heads=(ALL.heads[0], ONE_MORE)),
        replace(ALL, layers=(True,)),
        replace(ALL, heads=ALL.heads[::-1]),
    ],
)
def test_a_mask_of_another_shape_is_refused(mask: PruningMask) -> None:
    with pytest.raises(DataError):
        mask.check_fits(SHAPE)
