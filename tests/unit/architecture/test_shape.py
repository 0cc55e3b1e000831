from __future__ import annotations

import pytest

from thinfer.architecture import Architecture, LayerShape
from thinfer.core.codec import from_json, to_json
from thinfer.errors import DataError

LAYER = LayerShape(heads=2, qk_size=4, value_size=4, ffn=16)


def make_architecture(**changes: object) -> Architecture:
    fields: dict[str, object] = {
        "hidden": 8,
        "layers": (LAYER,),
        "vocab": 30,
        "positions": 18,
        "classes": 3,
    }
    return Architecture(**(fields | changes))  # type: ignore[arg-type]  # fields by name


def test_the_longest_sequence_leaves_out_the_offset() -> None:
    assert make_architecture(position_offset=2).max_length == 16


def test_json_there_and_back() -> None:
    shape = make_architecture(layers=(LAYER, LayerShape(heads=0, qk_size=4, value_size=2, ffn=0)))
    assert from_json(Architecture, to_json(shape)) == shape


@pytest.mark.parametrize(
    "changes",
    [{"hidden": 0}, {"vocab": 0}, {"classes": 0}, {"positions": 0}, {"position_offset": 18}],
)
def test_impossible_shapes_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(DataError):
        make_architecture(**changes)


@pytest.mark.parametrize("sizes", [(-1, 4, 4, 1), (1, 0, 4, 1), (1, 4, 0, 1), (1, 4, 4, -1)])
def test_impossible_layers_are_refused(sizes: tuple[int, int, int, int]) -> None:
    heads, qk_size, value_size, ffn = sizes
    with pytest.raises(DataError):
        LayerShape(heads=heads, qk_size=qk_size, value_size=value_size, ffn=ffn)


def test_a_model_without_layers_is_possible() -> None:
    assert make_architecture(layers=()).layers == ()
