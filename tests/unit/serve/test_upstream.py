"""A bigger bundle in this process: its answers in the order of classes that was asked for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.bundles import make_fake_bundle
from thinfer.classifier import Classifier
from thinfer.core.clock import SystemClock
from thinfer.errors import OverloadError
from thinfer.serve.batcher import Batcher, BatchLimits
from thinfer.serve.errors import TooManyTextsError
from thinfer.serve.upstream import LocalUpstream
from thinfer.text.long_text import LongText

LIMITS = BatchLimits(max_queue=8, max_batch_tokens=256, max_batch_texts=8)
LABELS = ("abuse", "normal", "spam")


async def ask(folder: Path, texts: list[str], pairs: list[str] | None = None) -> None:
    classifier = Classifier.open(make_fake_bundle(folder / "big").path)
    expected = classifier.logits(texts, pairs)
    batcher = Batcher(classifier.engine.run, LIMITS, clock=SystemClock(), on_run=lambda run: None)
    upstream = LocalUpstream(classifier, batcher, labels=LABELS)
    assert upstream.version == classifier.version
    upstream.start()
    try:
        found = await upstream.ask(texts, pairs)
        columns = [classifier.labels.index(label) for label in LABELS]
        np.testing.assert_array_equal(found, expected[:, columns])
        assert batcher.waiting == 0
    finally:
        await upstream.stop()
    assert not batcher.is_alive


def test_classes_come_in_the_order_that_was_asked_for(tmp_path: Path) -> None:
    asyncio.run(ask(tmp_path / "one", ["a", "你好 bc"]))
    asyncio.run(ask(tmp_path / "two", ["a", "b"], ["c", "d"]))


def test_more_than_its_queue_holds_is_refused(tmp_path: Path) -> None:
    async def overfill() -> None:
        classifier = Classifier.open(make_fake_bundle(tmp_path / "big").path)
        limits = replace(LIMITS, max_queue=2)
        batcher = Batcher(
            classifier.engine.run, limits, clock=SystemClock(), on_run=lambda run: None
        )
        upstream = LocalUpstream(classifier, batcher, labels=LABELS)
        upstream.start()
        try:
            with batcher.admit(2), pytest.raises(OverloadError):
                await upstream.ask(["a"], None)
        finally:
            await upstream.stop()

    asyncio.run(overfill())


def test_long_texts_are_read_as_the_request_asked(tmp_path: Path) -> None:
    async def compare() -> None:
        classifier = Classifier.open(make_fake_bundle(tmp_path / "big").path)
        texts, rule = ["a", "b c d e f g " * 6], LongText(policy="windows", pooling="mean")
        encoding = classifier.tokenizer.encode(texts, long_text=rule)
        expected = classifier.pool(classifier.run_batch(encoding.batch), encoding)
        batcher = Batcher(
            classifier.engine.run, LIMITS, clock=SystemClock(), on_run=lambda run: None
        )
        upstream = LocalUpstream(classifier, batcher, labels=classifier.labels)
        upstream.start()
        try:
            found = await upstream.ask(texts, None, long_text=rule)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
            with pytest.raises(TooManyTextsError):
                await upstream.ask(["a " * 1000], None, long_text=rule)
            assert batcher.waiting == 0
        finally:
            await upstream.stop()

    asyncio.run(compare())
