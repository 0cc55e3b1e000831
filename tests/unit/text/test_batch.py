from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.text.batch import Batch

SEQUENCES = [[1, 57, 2], [1, 2], [], [1, 9, 9, 2]]
TYPES = [[0, 0, 1], [0, 0], [], [0, 1, 1, 1]]


def unpack(batch: Batch) -> list[list[int]]:
    ends = batch.offsets.tolist()
    return [batch.ids[start:end].tolist() for start, end in pairwise(ends)]


def ints(*values: int) -> NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)


def test_sequences_are_packed_in_order() -> None:
    batch = Batch.from_sequences(SEQUENCES, TYPES)
    assert unpack(batch) == SEQUENCES
    assert len(batch) == 4
    assert batch.lengths.tolist() == [3, 2, 0, 4]
    assert batch.type_ids.tolist() == [0, 0, 1, 0, 0, 0, 1, 1, 1]
    assert not Batch.from_sequences(SEQUENCES).type_ids.any()


def test_the_empty_batch() -> None:
    empty = Batch.from_sequences([])
    assert len(empty) == 0
    assert empty.ids.dtype == np.int64
    assert empty.offsets.tolist() == [0]
    assert len(empty.select([])) == 0
    assert [part.shape for part in empty.padded(0)] == [(0, 0)] * 3
    assert len(Batch.concatenate([])) == 0
    assert len(Batch.concatenate([empty, empty])) == 0


def test_select_gives_rows_in_the_order_asked_for() -> None:
    batch = Batch.from_sequences(SEQUENCES, TYPES)
    chosen = batch.select([3, 0, 2, 3])
    assert unpack(chosen) == [SEQUENCES[place] for place in (3, 0, 2, 3)]
    assert chosen.type_ids.tolist() == [0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1]
    assert unpack(batch.select(ints(1))) == [SEQUENCES[1]]
    assert unpack(batch.select([])) == []


def test_padding_goes_to_the_right() -> None:
    ids, mask, types = Batch.from_sequences(SEQUENCES, TYPES).padded(7)
    assert ids.tolist() == [[1, 57, 2, 7], [1, 2, 7, 7], [7, 7, 7, 7], [1, 9, 9, 2]]
    assert mask.tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]
    assert types.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1]]
    assert {ids.dtype, mask.dtype, types.dtype} == {np.dtype(np.int64)}


def test_concatenate_undoes_select() -> None:
    batch = Batch.from_sequences(SEQUENCES, TYPES)
    parts = [batch.select([0, 1]), batch.select([]), batch.select([2, 3])]
    joined = Batch.concatenate(parts)
    assert unpack(joined) == SEQUENCES
    assert joined.type_ids.tolist() == batch.type_ids.tolist()


@pytest.mark.parametrize(
    ("ids", "types", "offsets"),
    [
        (ints(1, 2), ints(0), ints(0, 2)),
        (ints(1, 2), ints(0, 0), ints()),
        (ints(1, 2), ints(0, 0), ints(1, 2)),
        (ints(1, 2), ints(0, 0), ints(0, 1)),
        (ints(1, 2), ints(0, 0), ints(0, 2, 1, 2)),
        (ints(1, 2).astype(np.int32), ints(0, 0), ints(0, 2)),
        (ints(1, 2).reshape(1, 2), ints(0, 0), ints(0, 2)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    ids: NDArray[np.int64], types: NDArray[np.int64], offsets: NDArray[np.int64]
) -> None:
    with pytest.raises(DataError, match="do not fit together"):
        Batch(ids, types, offsets)


def test_types_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="differ in length"):
        Batch.from_sequences([[1, 2]], [[0]])
    with pytest.raises(DataError, match="differ in length"):
        Batch.from_sequences([[1, 2]], [[0, 0], []])
