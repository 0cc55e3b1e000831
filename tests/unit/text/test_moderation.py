from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from thinfer.errors import UserError
from thinfer.text import read_corpus
from thinfer.text.moderation import LABELS, generate_moderation, write_moderation
from thinfer.text.splits import find_leaks


def test_the_generator_decides_everything() -> None:
    first, again, other = (
        generate_moderation(np.random.default_rng(seed), rows=300) for seed in (1, 1, 2)
    )
    assert first.digest == again.digest != other.digest
    assert len(first) == len(set(first.texts)) == 300


def test_shares_and_lengths_are_those_promised() -> None:
    corpus = generate_moderation(np.random.default_rng(0), rows=3000)
    counts = Counter(corpus.labels)
    assert set(counts) == set(LABELS)
    assert len(LABELS) == 7
    assert 0.5 < counts["normal"] / 3000 < 0.6
    assert min(counts.values()) > 0.05 * 3000
    lengths = [len(text) for text in corpus.texts]
    assert min(lengths) >= 5
    assert max(lengths) <= 120
    assert not any("{" in text for text in corpus.texts), "a slot was not filled"
    is_chinese = [any("一" <= letter <= "鿿" for letter in text) for text in corpus.texts]
    assert 0.6 < np.mean(is_chinese) < 0.9


def test_the_splits_share_no_text_and_are_read_back(tmp_path: Path) -> None:
    write_moderation(tmp_path / "a", seed=5, train=200, dev=50, test=60)
    write_moderation(tmp_path / "b", seed=5, train=200, dev=50, test=60)
    names = ("train.csv", "dev.csv", "test.csv")
    parts = [read_corpus(tmp_path / "a" / name) for name in names]
    assert [len(part) for part in parts] == [200, 50, 60]
    assert not find_leaks(parts[0], parts[1]).rows
    assert not find_leaks(parts[0], parts[2]).rows
    assert not find_leaks(parts[1], parts[2]).rows
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_word_counts_alone_learn_it_but_not_fully() -> None:
    pytest.importorskip("sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import RidgeClassifier

    corpus = generate_moderation(np.random.default_rng(0), rows=4000)
    labels = np.array(corpus.labels)
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), min_df=2)
    features = vectorizer.fit_transform(corpus.texts)
    model = RidgeClassifier(solver="lsqr").fit(features[:3000], labels[:3000])
    accuracy = float(np.mean(model.predict(features[3000:]) == labels[3000:]))
    assert 0.80 < accuracy < 0.95


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(UserError, match="negative"):
        generate_moderation(np.random.default_rng(0), rows=-1)
    assert len(generate_moderation(np.random.default_rng(0), rows=0)) == 0
