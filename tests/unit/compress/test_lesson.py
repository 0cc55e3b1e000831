"""Rows without labels get the teacher's; what counts as right."""

import dataclasses

import numpy as np
import pytest

from tests.support.toy_models import accuracy_of, logits_of, toy_state, toy_task
from thinfer.compress.lesson import answer_rows, as_checkpoint, count_right
from thinfer.nn.train import Encoded
from thinfer.quality.answers import encode_answers
from thinfer.text.batch import Batch

STATE = toy_state()
BATCH, LABELS = toy_task(12, seed=2)
MORE, _ = toy_task(7, seed=3)


@pytest.mark.parametrize("several", [False, True])
def test_the_teacher_labels_the_rest(several: bool) -> None:
    targets = 1 << LABELS if several else LABELS
    train = Encoded(batch=BATCH, targets=targets)
    rows, taught = answer_rows(STATE.module(), train, MORE, pad_id=0, is_multi_label=several)
    assert len(rows.batch) == len(taught) == 19
    np.testing.assert_array_equal(rows.targets[:12], targets)
    bits = ((taught[12:] >= 0) * np.array([1, 2, 4])).sum(axis=1)
    wanted = bits if several else taught[12:].argmax(axis=1)
    np.testing.assert_array_equal(rows.targets[12:], wanted)
    assert rows.targets.dtype == np.int64


@pytest.mark.parametrize("more", [None, Batch.concatenate([])])
def test_nothing_more_leaves_the_rows(more: Batch | None) -> None:
    train = Encoded(batch=BATCH, targets=LABELS)
    rows, taught = answer_rows(STATE.module(), train, more, pad_id=0)
    assert rows is train
    assert taught.shape == (12, 3)


def test_right_rows_are_counted() -> None:
    found = count_right(STATE, Encoded(batch=BATCH, targets=LABELS))
    assert found == round(12 * accuracy_of(STATE, BATCH, LABELS))
    several = dataclasses.replace(STATE, is_multi_label=True)
    logits = logits_of(STATE, BATCH).numpy()
    own = encode_answers(logits, is_multi_label=True)
    assert count_right(several, Encoded(batch=BATCH, targets=own)) == 12
    own[:5] ^= 4  # one label of the set is wrong
    assert count_right(several, Encoded(batch=BATCH, targets=own)) == 7
    other = toy_state(seed=5).module()
    assert count_right(several, Encoded(batch=BATCH, targets=own), model=other) < 7


def test_a_state_goes_into_training_as_what_it_is() -> None:
    assert not as_checkpoint(STATE).is_multi_label
    assert as_checkpoint(dataclasses.replace(STATE, is_multi_label=True)).is_multi_label
