import functools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support.bert_vocab import VOCABULARY, small_tokenizer
from thinfer.core.clock import SystemClock
from thinfer.pipeline import textcnn
from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.textcnn import Lessons, TextCnn, TextCnnResult, fit_textcnn
from thinfer.text.batch import Batch
from thinfer.text.corpus import Corpus

TOKENIZER = small_tokenizer(max_length=24)
WORDS = [word for word in VOCABULARY if word.isascii() and word.isalpha()]


@functools.cache
def ordered(rows: int, seed: int) -> LabelledSet:
    """Texts whose label is the order of two neighbours: single words say nothing."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, size=rows)
    texts = []
    for label in truth:
        words = rng.choice(WORDS[2:], size=int(rng.integers(2, 8))).tolist()
        pair = WORDS[:2] if label else WORDS[1::-1]
        at = int(rng.integers(len(words)))
        texts.append(" ".join([*words[:at], *pair, *words[at:]]))
    return LabelledSet(corpus=Corpus(texts=tuple(texts)), truth=truth)


TEST = ordered(200, 2)
ASKED = np.where(np.arange(2) == ordered(600, 0).truth[:, None], 3.0, -3.0).astype(np.float32)
SILENT = np.full_like(ASKED, np.nan)


def fit(
    taught: NDArray[np.float32] = ASKED, *, is_misled: bool = False, seed: int = 0
) -> TextCnnResult:
    train = ordered(600, 0)
    vectors = np.random.default_rng(9).normal(size=(len(VOCABULARY), 16)).astype(np.float32)
    targets = 1 - train.truth if is_misled else train.truth
    return fit_textcnn(
        Lessons(batch=train.encode(TOKENIZER).batch, targets=targets, taught=taught),
        ordered(100, 1),
        TEST,
        tokenizer=TOKENIZER,
        vectors=vectors,
        seed=seed,
        clock=SystemClock(),
    )


def accuracy(result: TextCnnResult) -> float:
    return float((result.test == TEST.truth).mean())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textcnn, "_FEWEST_STEPS", 120)


@pytest.mark.parametrize("taught", [ASKED, SILENT])
def test_it_learns_the_order_of_words(taught: NDArray[np.float32]) -> None:
    result = fit(taught)
    assert accuracy(result) > 0.9
    assert result.taught_rows == int(np.isfinite(taught).all(axis=1).sum())
    assert result.texts_per_second > 0
    assert result.size_bytes > 0


def test_the_same_seed_gives_the_same_answers() -> None:
    first, second = fit(), fit()
    np.testing.assert_array_equal(first.test, second.test)
    np.testing.assert_array_equal(first.dev, second.dev)


def test_torch_draws_as_if_nothing_had_happened() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    fit()
    assert torch.equal(torch.rand(3), wanted)


def test_a_teacher_is_followed_where_the_labels_mislead() -> None:
    assert accuracy(fit(ASKED, is_misled=True)) > 0.9
    assert accuracy(fit(SILENT, is_misled=True)) < 0.7


@pytest.mark.parametrize("length", [1, 2, 7])
def test_padding_and_short_texts_change_nothing(length: int) -> None:
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model = TextCnn(rng.random((20, 8), dtype=np.float32), np.arange(3, 20), classes=3).eval()
    ids = torch.from_numpy(rng.integers(3, 20, (2, length)))
    with torch.inference_mode():
        short, long = model(ids), model(torch.nn.functional.pad(ids, (0, 6)))
    assert short.shape == (2, 3)
    torch.testing.assert_close(short, long)


def test_ids_that_no_lesson_had_are_padding() -> None:
    vectors = np.random.default_rng(0).random((9, 4), dtype=np.float32)
    model = TextCnn(vectors, np.array([2, 3]), classes=2).eval()
    with torch.inference_mode():
        known = model(torch.tensor([[2, 3, 0, 0, 0]]))
        strange = model(torch.tensor([[2, 3, 8, 8, 8]]))
    torch.testing.assert_close(known, strange)


def test_the_price_of_training_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch.from_sequences([[1, 2, 3, 4]] * 50)
    rng = np.random.default_rng(0)
    monkeypatch.setattr(textcnn, "_FEWEST_STEPS", 1)
    epochs, rows = textcnn._plan(batch, rng)
    assert (epochs, len(rows)) == (6, 50)
    monkeypatch.setattr(textcnn, "_FEWEST_STEPS", 10)  # of 64 texts
    assert textcnn._plan(batch, rng)[0] == 13
    monkeypatch.setattr(textcnn, "_MOST_TOKENS", 500)
    epochs, rows = textcnn._plan(batch, rng)
    assert (epochs, len(rows)) == (2, 50)
    monkeypatch.setattr(textcnn, "_MOST_TOKENS", 80)
    epochs, rows = textcnn._plan(batch, rng)
    assert (epochs, len(np.unique(rows))) == (1, 20)


def test_the_second_text_of_a_pair_is_told_from_the_first() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, size=300)
    first, second = zip(*((WORDS[2 + t], WORDS[3 - t]) for t in truth), strict=True)
    part = LabelledSet(corpus=Corpus(texts=first, pairs=second), truth=truth)
    result = fit_textcnn(
        Lessons(
            batch=part.encode(TOKENIZER).batch,
            targets=truth,
            taught=np.full((300, 2), np.nan, dtype=np.float32),
        ),
        part,
        part,
        tokenizer=TOKENIZER,
        vectors=rng.normal(size=(len(VOCABULARY), 16)).astype(np.float32),
        seed=0,
        clock=SystemClock(),
    )
    assert (result.test == truth).mean() > 0.95


@pytest.mark.parametrize("is_taught", [False, True])
def test_it_learns_sets_of_labels(is_taught: bool) -> None:
    """Two words stand for a label each; the second label is bit 1."""
    rng = np.random.default_rng(0)
    held = rng.random((400, 2)) < 0.4
    texts = tuple(
        " ".join([*rng.choice(WORDS[2:], 3), *np.array(WORDS[:2])[row].tolist()]) for row in held
    )
    truth = held @ np.array([1, 2])
    part = LabelledSet(corpus=Corpus(texts=texts), truth=truth)
    logits = np.where(held, 6.0, -6.0).astype(np.float32)
    result = fit_textcnn(
        Lessons(
            batch=part.encode(TOKENIZER).batch,
            targets=truth,
            taught=logits if is_taught else np.full_like(logits, np.nan),
            is_multi_label=True,
        ),
        part,
        part,
        tokenizer=TOKENIZER,
        vectors=rng.normal(size=(len(VOCABULARY), 16)).astype(np.float32),
        seed=0,
        clock=SystemClock(),
    )
    assert set(result.test.tolist()) == {0, 1, 2, 3}
    assert (result.test == truth).mean() > 0.95
