"""From a packed batch to rectangles and back."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.export_models import LONGEST, random_batch, shape_of
from thinfer.engine.base import Feed
from thinfer.engine.padded import Padding, run_padded
from thinfer.errors import DataError
from thinfer.text.batch import Batch

SHAPE = shape_of()
PAD = 39


class Recorder:
    """Answers with the sum of the real ids, the length and the sum of the types of each row."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, feed: Feed) -> NDArray[np.float32]:
        ids, mask, types = (
            feed[name] for name in ("input_ids", "attention_mask", "token_type_ids")
        )
        self.shapes.append(ids.shape)
        assert (ids[mask == 0] == PAD).all()
        assert (types[mask == 0] == 0).all()
        return np.stack([(ids * mask).sum(1), mask.sum(1), types.sum(1)], axis=1).astype(np.float32)


def expected(batch: Batch) -> NDArray[np.float32]:
    rows = []
    for row in range(len(batch)):
        one = batch.select([row])
        rows.append([one.ids.sum(), len(one.ids), one.type_ids.sum()])
    return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize("widths", ["exact", "steps"])
@pytest.mark.parametrize("grouping", ["none", "length"])
@pytest.mark.parametrize("overhead", [0, 10, 10_000])
def test_rows_keep_their_order_however_they_are_split(
    widths: str, grouping: str, overhead: int
) -> None:
    options = {"grouping": grouping, "overhead_tokens": overhead, "widths": widths}
    call = Recorder()
    batch = random_batch(SHAPE, (3, 20, 1, 7, 3, 19, 1))
    got = run_padded(call, batch, SHAPE, Padding.from_options(PAD, options))
    np.testing.assert_array_equal(got, expected(batch))
    assert (len(call.shapes) == 1) == (grouping == "none" or overhead == 10_000)


def test_widths_in_steps_are_few_and_never_over_the_models_own() -> None:
    padding = Padding.from_options(PAD, {"widths": "steps"})
    long = shape_of(positions=509)
    widths = []
    for length in range(1, 510):
        call = Recorder()
        run_padded(call, random_batch(long, (length,)), long, padding)
        ((_, width),) = call.shapes
        assert length <= width <= min(509, max(length + 3, length * 1.125))
        widths.append(width)
    assert len(set(widths)) == 40
    assert max(widths) == 509


def test_the_option_of_the_bundle_wins_over_the_engines_default() -> None:
    assert Padding.from_options(PAD, {}, widths="steps").in_steps
    assert not Padding.from_options(PAD, {"widths": "exact"}, widths="steps").in_steps


def test_nothing_is_called_for_a_batch_that_is_refused() -> None:
    call = Recorder()
    padding = Padding.from_options(PAD, {})
    with pytest.raises(DataError):
        run_padded(call, random_batch(SHAPE, (1, LONGEST + 1)), SHAPE, padding)
    assert run_padded(call, Batch.from_sequences([]), SHAPE, padding).shape == (0, 3)
    assert call.shapes == []
