import numpy as np
import pytest

from tests.support.small_task import small_task
from thinfer.core.clock import SystemClock
from thinfer.pipeline.data import LabelledSet, label_corpus
from thinfer.pipeline.linear import LinearResult, fit_linear
from thinfer.quality.labels import LabelSet
from thinfer.text.corpus import Corpus, read_corpus

pytest.importorskip("sklearn", reason="the linear model needs scikit-learn")


def load(seed: int = 0) -> tuple[LabelledSet, LinearResult]:
    task = small_task()
    sets = [read_corpus(path) for path in (task.train, task.dev, task.test)]
    labels = LabelSet(tuple(sorted(set(sets[0].labels or ()))))
    train, dev, test = (label_corpus(corpus, labels) for corpus in sets)
    return test, fit_linear(train, dev, test, seed=seed, clock=SystemClock())


def test_it_learns_more_than_the_commonest_class() -> None:
    test, result = load()
    commonest = np.bincount(test.truth).max() / len(test)
    assert (result.test == test.truth).mean() > commonest + 0.05
    assert result.texts_per_second > 0
    assert result.size_bytes in {views * (1 << 18) * 7 * 4 for views in (1, 2)}


def test_the_same_seed_gives_the_same_answers() -> None:
    first, second = load()[1], load()[1]
    np.testing.assert_array_equal(first.dev, second.dev)
    np.testing.assert_array_equal(first.test, second.test)


def test_order_of_words_counts_where_single_words_say_nothing() -> None:
    rows = [("up down", "a"), ("down up", "b"), ("left right", "a"), ("right left", "b")] * 40
    texts, names = zip(*rows, strict=True)
    corpus = Corpus(texts=texts, labels=names)
    part = label_corpus(corpus, LabelSet(("a", "b")))
    result = fit_linear(part, part, part, seed=0, clock=SystemClock())
    np.testing.assert_array_equal(result.test, part.truth)
    assert result.size_bytes == 2 * (1 << 18) * 4
