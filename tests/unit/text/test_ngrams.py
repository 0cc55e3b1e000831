"""Hashed n-grams: all of them, each as often as it occurs, the same everywhere."""

from __future__ import annotations

from zlib import crc32

import pytest

from thinfer.text.ngrams import hash_ngrams


def test_every_ngram_of_every_width_is_there_as_often_as_it_occurs() -> None:
    found = hash_ngrams("aba你", (1, 2))
    grams = ["a", "b", "a", "你", "ab", "ba", "a你"]
    assert found.tolist() == [crc32(gram.encode()) for gram in grams]


@pytest.mark.parametrize(("text", "count"), [("", 0), ("a", 1), ("ab", 3)])
def test_short_texts(text: str, count: int) -> None:
    assert len(hash_ngrams(text, (1, 2))) == count


def test_forms_that_a_normaliser_would_fold_are_different() -> None:
    assert hash_ngrams("A", (1,)) != hash_ngrams("a", (1,))
    assert hash_ngrams("Ａ", (1,)) != hash_ngrams("A", (1,))
    assert len(hash_ngrams("\ud800", (1,))) == 1
