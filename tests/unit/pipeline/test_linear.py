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


def test_a_teacher_helps_where_labels_are_wrong_and_is_left_alone_where_it_errs() -> None:
    rng = np.random.default_rng(0)
    words = np.array(["red", "blue", "green", "grey"])
    drawn = rng.integers(0, 4, size=(900, 3))
    truth = (drawn == 0).any(axis=1).astype(np.int64)
    texts = tuple(" ".join(words[row]) for row in drawn)
    noisy = np.where(rng.random(900) < 0.45, 1 - truth, truth)
    names = LabelSet(("no", "yes"))
    right, wrong = (
        Corpus(texts=texts, labels=tuple(names.names[label] for label in each))
        for each in (truth, noisy)
    )
    train = label_corpus(wrong.select(range(600)), names)
    dev = label_corpus(right.select(range(600, 900)), names)
    logits = np.where(np.arange(2) == truth[:600, None], 8.0, -8.0).astype(np.float32)
    clock = SystemClock()
    alone = fit_linear(train, dev, dev, seed=0, clock=clock)
    taught = fit_linear(train, dev, dev, seed=0, clock=clock, taught=logits)
    assert not alone.is_taught
    assert taught.is_taught
    assert (taught.dev == dev.truth).mean() > (alone.dev == dev.truth).mean()
    misled = fit_linear(train, dev, dev, seed=0, clock=clock, taught=-logits)
    assert not misled.is_taught
    silent = fit_linear(train, dev, dev, seed=0, clock=clock, taught=np.full_like(logits, np.nan))
    np.testing.assert_array_equal(silent.dev, alone.dev)


def test_the_second_text_of_a_pair_is_told_from_the_first() -> None:
    rows = [("up", "down", "a"), ("down", "up", "b")] * 60
    texts, pairs, names = zip(*rows, strict=True)
    part = label_corpus(Corpus(texts=texts, pairs=pairs, labels=names), LabelSet(("a", "b")))
    result = fit_linear(part, part, part, seed=0, clock=SystemClock())
    np.testing.assert_array_equal(result.test, part.truth)


def test_sets_of_labels_have_a_model_for_each_label() -> None:
    """Labels `a` and `b` are words of the text, `c` is always there and `d` never."""
    rng = np.random.default_rng(0)
    held = rng.random((300, 2)) < 0.5
    words = np.array(["apple", "bread"])
    texts = tuple(" ".join(["some", *words[row], f"n{at}"]) for at, row in enumerate(held))
    labels = LabelSet(("a", "b", "c", "d"), is_multi_label=True)
    truth = labels.encode_members(np.column_stack([held, np.ones(300), np.zeros(300)]) > 0)
    part = LabelledSet(corpus=Corpus(texts=texts), truth=truth)
    logits = np.where(labels.members(truth), 5.0, -5.0).astype(np.float32)
    for taught in (None, logits):
        result = fit_linear(
            part, part, part, seed=0, clock=SystemClock(), labels=labels, taught=taught
        )
        assert (result.test == truth).mean() > 0.95
        assert result.size_bytes in {views * (1 << 18) * 2 * 4 for views in (1, 2)}


def test_labels_that_never_change_need_no_model() -> None:
    labels = LabelSet(("a", "b"), is_multi_label=True)
    part = LabelledSet(corpus=Corpus(texts=("x y", "z")), truth=np.array([2, 2], dtype=np.int64))
    result = fit_linear(part, part, part, seed=0, clock=SystemClock(), labels=labels)
    assert result.test.tolist() == [2, 2]
    assert result.size_bytes == 0
