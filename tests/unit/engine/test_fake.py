"""The fake engine: deterministic, independent of the batch, and bad in the way it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.bundles import small_architecture
from thinfer.engine.base import EngineSpec
from thinfer.engine.fake import FakeEngine, fake_logits
from thinfer.errors import DataError, EngineError
from thinfer.text.batch import Batch

BATCH = Batch.from_sequences([[2, 7, 3], [2, 8, 9, 3], [2, 3], [2, 7, 3]])


def make(sleeps: list[float] | None = None, **options: float) -> FakeEngine:
    spec = EngineSpec(name="fake", precision="fp32", files=(), options=options)
    return FakeEngine(
        Path("unused"),
        spec,
        small_architecture(),
        pad_id=0,
        threads=2,
        sleep=(sleeps if sleeps is not None else []).append,
    )


def test_logits_depend_on_the_sequence_alone() -> None:
    logits = make().run(BATCH)
    assert logits.dtype == np.float32
    assert logits.shape == (4, 3)
    assert (logits[0] == logits[3]).all()
    alone = [make().run(BATCH.select([row]))[0] for row in range(4)]
    assert (np.stack(alone) == logits).all()
    ranked = np.sort(logits, axis=1)
    assert (ranked[:, -1] - ranked[:, -2] >= 3).all()
    assert np.abs(ranked[:, :-1]).max() <= 1


def test_order_type_and_salt_count() -> None:
    logits = fake_logits(BATCH, classes=3)
    types = Batch(BATCH.ids, 1 - BATCH.type_ids, BATCH.offsets)
    turned = Batch.from_sequences([[2, 9, 8, 3]])
    assert (fake_logits(types, classes=3) != logits).any(axis=1).all()
    assert (fake_logits(BATCH, classes=3, salt=1) != logits).any(axis=1).all()
    assert (fake_logits(turned, classes=3)[0] != logits[1]).any()


def test_labels_are_spread() -> None:
    batch = Batch.from_sequences([[2, row, 3] for row in range(4, 64)])
    counts = np.bincount(fake_logits(batch, classes=3).argmax(axis=1), minlength=3)
    assert counts.min() >= 8


def test_an_empty_batch_gives_no_rows() -> None:
    assert make().run(Batch.from_sequences([])).shape == (0, 3)


def test_failing_slow_and_nan_variants() -> None:
    failing = make(fail_every=2)
    failing.run(BATCH)
    with pytest.raises(EngineError, match="call 2"):
        failing.run(BATCH)
    failing.run(BATCH)
    with pytest.raises(EngineError):
        make(fail_on_id=8).run(BATCH)
    make(fail_on_id=20).run(BATCH)
    assert np.isnan(make(nan=True).run(BATCH)).all()
    assert np.isnan(make(nan_on_id=8).run(BATCH)).all(axis=1).tolist() == [
        False,
        True,
        False,
        False,
    ]
    sleeps: list[float] = []
    slow = make(sleeps, latency_ms=5, token_latency_us=100, slow_every=2, slow_ms=1000)
    slow.run(BATCH)
    slow.run(BATCH)
    assert sleeps == pytest.approx([0.0062, 1.0062])


def test_unknown_options_bad_batches_and_closed_engines_are_refused() -> None:
    with pytest.raises(EngineError, match="no such option"):
        make(speed=9)
    engine = make()
    refused: list[list[int]] = [[], [2] * 25, [1000]]
    for sequence in refused:
        with pytest.raises(DataError):
            engine.run(Batch.from_sequences([sequence]))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(BATCH)
