"""The golden set: round trip, clear margins, and lines that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from thinfer.bundle import GoldenSet, choose_golden, draw_sequences, measure_margins
from thinfer.errors import DataError
from thinfer.text.batch import Batch


def test_a_golden_set_survives_the_file() -> None:
    batch = Batch.from_sequences([[2, 9, 3], [2, 3]], [[0, 0, 1], [0, 0]])
    logits = np.array([[0.1, -2.5], [1e-7, 3.0]], dtype=np.float32)
    back = GoldenSet.decode(GoldenSet(batch=batch, logits=logits).encode())
    assert (back.logits == logits).all()  # to the last bit
    assert (back.batch.ids == batch.ids).all()
    assert (back.batch.type_ids == batch.type_ids).all()
    assert (back.batch.offsets == batch.offsets).all()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]\n",
        b"{}\n",
        b'{"ids": [1], "type_ids": [0], "logits": [NaN]}\n',
        b'{"ids": [1], "type_ids": [0, 0], "logits": [1]}\n',
        b'{"ids": ["x"], "type_ids": [0], "logits": [1]}\n',
        b'{"ids": [99999999999999999999], "type_ids": [0], "logits": [1]}\n',
        b'{"ids": [1], "type_ids": [0], "logits": [1]}\n'
        b'{"ids": [1], "type_ids": [0], "logits": [1, 2]}\n',
        b"\xff",
    ],
)
def test_a_line_that_cannot_be_read_names_the_file(raw: bytes) -> None:
    with pytest.raises(DataError, match=r"golden\.jsonl"):
        GoldenSet.decode(raw)


def test_rows_without_a_clear_margin_are_left_out() -> None:
    batch = Batch.from_sequences([[row, row] for row in range(6)])
    logits = np.array(
        [[1.0, 0.95], [1.0, 0.0], [0.0, 0.15], [np.nan, 1.0], [5.0, 0.0], [0.0, 4.0]],
        dtype=np.float32,
    )
    assert choose_golden(batch, logits, bound=0.1).batch.ids[::2].tolist() == [1, 2, 4, 5]
    # one of each label first, and those with twice the margin before the one without
    assert choose_golden(batch, logits, bound=0.1, count=2).batch.ids[::2].tolist() == [1, 5]
    with pytest.raises(DataError, match="clear label"):
        choose_golden(batch, logits, bound=6.0)


def test_one_class_is_always_clear() -> None:
    batch = Batch.from_sequences([[1], [2]])
    assert len(choose_golden(batch, np.zeros((2, 1), dtype=np.float32), bound=1.0).batch) == 2


def test_drawn_sequences_are_legal_and_repeatable() -> None:
    def draw() -> Batch:
        return draw_sequences(
            np.random.default_rng(3),
            vocab=20,
            max_length=9,
            first=2,
            last=3,
            avoid=(0, 1),
            count=50,
        )

    batch = draw()
    assert (batch.ids == draw().ids).all()
    assert batch.lengths.max() == 9
    assert batch.lengths.min() == 2
    inner = np.setdiff1d(batch.ids, [2, 3])
    assert inner.min() >= 4
    assert inner.max() < 20


def test_drawing_without_words_gives_the_special_tokens_alone() -> None:
    batch = draw_sequences(
        np.random.default_rng(0), vocab=2, max_length=9, first=0, last=1, count=3
    )
    assert batch.ids.tolist() == [0, 1] * 3


def test_a_row_of_several_labels_is_clear_where_every_label_is() -> None:
    batch = Batch.from_sequences([[row, row] for row in range(5)])
    logits = np.array(
        [[1.0, -1.0], [9.0, 0.05], [-0.3, -0.3], [np.nan, 5.0], [-2.0, 3.0]], dtype=np.float32
    )
    found = choose_golden(batch, logits, bound=0.1, is_multi_label=True)
    assert found.batch.ids[::2].tolist() == [0, 2, 4]
    # one of each set first: {0}, {1}, none
    two = choose_golden(batch, logits, bound=0.2, count=2, is_multi_label=True)
    assert two.batch.ids[::2].tolist() == [0, 4]
    margins = measure_margins(logits, is_multi_label=True)
    np.testing.assert_allclose(margins, [1.0, 0.05, 0.3, np.nan, 2.0], rtol=1e-6)
    with pytest.raises(DataError, match="clear label"):
        choose_golden(batch, logits, bound=2.5, is_multi_label=True)
