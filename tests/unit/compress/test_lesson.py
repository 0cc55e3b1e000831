"""Rows without labels get the teacher's; what counts as right."""

import numpy as np
import pytest

from tests.support.toy_models import accuracy_of, toy_state, toy_task
from thinfer.compress.lesson import answer_rows, as_checkpoint, count_right
from thinfer.nn.train import Encoded
from thinfer.text.batch import Batch

STATE = toy_state()
BATCH, LABELS = toy_task(12, seed=2)
MORE, _ = toy_task(7, seed=3)


@pytest.mark.parametrize("several", [False, True])
def test_the_teacher_labels_the_rest(several: bool) -> None:
    targets = np.eye(3, dtype=np.float32)[LABELS] if several else LABELS
    train = Encoded(batch=BATCH, targets=targets)
    rows, taught = answer_rows(STATE.module(), train, MORE, pad_id=0)
    assert len(rows.batch) == len(taught) == 19
    np.testing.assert_array_equal(rows.targets[:12], targets)
    wanted = taught[12:] > 0 if several else taught[12:].argmax(axis=1)
    np.testing.assert_array_equal(rows.targets[12:], wanted)
    assert rows.targets.dtype == targets.dtype


@pytest.mark.parametrize("more", [None, Batch.concatenate([])])
def test_nothing_more_leaves_the_rows(more: Batch | None) -> None:
    train = Encoded(batch=BATCH, targets=LABELS)
    rows, taught = answer_rows(STATE.module(), train, more, pad_id=0)
    assert rows is train
    assert taught.shape == (12, 3)


def test_right_rows_are_counted() -> None:
    found = count_right(STATE.module(), Encoded(batch=BATCH, targets=LABELS), 0)
    assert found == round(12 * accuracy_of(STATE, BATCH, LABELS))
    every = np.ones((12, 3), dtype=np.float32)
    answers = as_checkpoint(STATE).model
    assert count_right(answers, Encoded(batch=BATCH, targets=every), 0) <= 12
