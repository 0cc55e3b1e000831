import dataclasses

import numpy as np
import pytest

from thinfer.errors import UserError
from thinfer.nn.schedule import TrainSettings, list_epoch_batches, scale_rate

SETTINGS = TrainSettings(batch_size=8, seed=2)


def test_an_epoch_holds_every_row_once_and_is_repeatable() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 1003)
    batches = list_epoch_batches(lengths, SETTINGS, 0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1003))
    assert max(map(len, batches)) == 8
    again = list_epoch_batches(lengths, SETTINGS, 0)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    other = list_epoch_batches(lengths, SETTINGS, 1)
    assert not all(np.array_equal(a, b) for a, b in zip(batches, other, strict=True))


def test_buckets_pad_little() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    batches = list_epoch_batches(lengths, SETTINGS, 0)
    padded = sum(int(lengths[rows].max()) * len(rows) for rows in batches)
    assert padded < 1.15 * lengths.sum()


def test_the_rate_rises_and_falls() -> None:
    settings = dataclasses.replace(SETTINGS, warmup=0.2)
    rates = [scale_rate(step, 50, settings) for step in range(50)]
    assert int(np.argmax(rates)) == 10
    assert max(rates) == 1.0
    assert min(rates) > 0
    assert np.all(np.diff(rates[:11]) > 0)
    assert np.all(np.diff(rates[10:]) < 0)
    assert scale_rate(0, 1, settings) > 0


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"warmup": 1.0},
        {"dropout": 1.0},
        {"label_smoothing": -0.1},
        {"max_minutes": 0},
        {"seed": -1},
        {"clip_norm": 0},
        {"patience": 0},
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(UserError, match="out of range"):
        TrainSettings(**change)  # type: ignore[arg-type]  # wrong on purpose
