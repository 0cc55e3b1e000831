from __future__ import annotations

import pytest

from thinfer.architecture import Architecture, LayerShape
from thinfer.core.codec import from_json, to_json
from thinfer.engine.base import EngineSpec, check_batch
from thinfer.errors import DataError
from thinfer.text.batch import Batch

SHAPE = Architecture(
    hidden=8,
    layers=(LayerShape(heads=2, qk_size=4, value_size=4, ffn=16),),
    vocab=30,
    positions=6,
    position_offset=2,
    type_rows=2,
    classes=3,
)


def make_shape(type_rows: int) -> Architecture:
    body = to_json(SHAPE) | {"type_rows": type_rows}
    return from_json(Architecture, body)


def test_what_the_model_has_rows_for_passes() -> None:
    check_batch(Batch.from_sequences([[0, 29, 1, 2], [5]], [[0, 1, 1, 0], [0]]), SHAPE)
    check_batch(Batch.from_sequences([]), SHAPE)
    check_batch(Batch.from_sequences([[1]]), make_shape(type_rows=0))


@pytest.mark.parametrize(
    ("sequences", "types", "says"),
    [
        ([[1], []], None, "sequence 1 has an impossible length; expected 1 … 4 tokens; got 0"),
        ([[1] * 5], None, "sequence 0 has an impossible length"),
        ([[1], [2, 30]], None, "token id of sequence 1 is out of range; expected 0 … 29; got 30"),
        ([[-1]], None, "token id of sequence 0 is out of range"),
        ([[1], [1, 1]], [[0], [0, 2]], "token type id of sequence 1 is out of range"),
    ],
)
def test_what_it_has_no_rows_for_is_refused_by_name(
    sequences: list[list[int]], types: list[list[int]] | None, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        check_batch(Batch.from_sequences(sequences, types), SHAPE)


def test_without_type_rows_only_type_zero_is_right() -> None:
    with pytest.raises(DataError, match="token type"):
        check_batch(Batch.from_sequences([[1]], [[1]]), make_shape(type_rows=0))


def test_a_spec_keeps_the_types_of_its_options() -> None:
    options: dict[str, int | float | str | bool] = {
        "grouping": "length",
        "overhead_tokens": 8,
        "share": 0.5,
        "arena": True,
    }
    spec = EngineSpec(name="fake", precision="fp32", files=("a",), options=options)
    back = from_json(EngineSpec, to_json(spec))
    assert back == spec
    assert [type(item) for item in back.options.values()] == [str, int, float, bool]
    with pytest.raises(DataError):
        from_json(EngineSpec, to_json(spec) | {"precision": "int4"})
