from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thinfer.errors import UserError
from thinfer.text import Corpus, read_corpus
from thinfer.text.moderation import ANOMALIES
from thinfer.text.moderation_tasks import (
    PAIR_LABELS,
    generate_moderation_sets,
    generate_pairs,
    write_task,
)

BOTH = [generate_moderation_sets, generate_pairs]


@pytest.mark.parametrize("generate", BOTH)
def test_the_generator_decides_everything(generate: Callable[..., Corpus]) -> None:
    first, again, other = (generate(np.random.default_rng(seed), rows=200) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    assert len(first) == len(set(zip(first.texts, first.pairs or first.texts, strict=True))) == 200


def test_texts_show_none_one_or_two_kinds() -> None:
    corpus = generate_moderation_sets(np.random.default_rng(0), rows=1000)
    sets = [json.loads(label) for label in corpus.labels or ()]
    sizes = Counter(map(len, sets))
    assert 0.3 < sizes[0] / 1000 < 0.5
    assert sizes[2] > 150
    counts = Counter(kind for names in sets for kind in names)
    assert set(counts) == set(ANOMALIES)
    assert min(counts.values()) > 80
    assert all(5 <= len(text) <= 241 for text in corpus.texts)


def test_neither_text_of_a_pair_tells_alone() -> None:
    corpus = generate_pairs(np.random.default_rng(0), rows=1000)
    counts = Counter(corpus.labels)
    assert set(counts) == set(PAIR_LABELS)
    assert 0.4 < counts["equal"] / 1000 < 0.6
    assert corpus.pairs is not None


def test_files_are_read_back(tmp_path: Path) -> None:
    for generate in BOTH:
        corpus = generate(np.random.default_rng(3), rows=30)
        write_task(tmp_path, corpus, train=20, dev=6, test=4)
        separator = None if corpus.pairs else "|"
        parts = [
            read_corpus(tmp_path / f"{name}.jsonl", label_separator=separator)
            for name in ("train", "dev", "test")
        ]
        assert [len(part) for part in parts] == [20, 6, 4]
        assert parts[0].labels == (corpus.labels or ())[:20]
        assert parts[2].texts == corpus.texts[26:]
        assert parts[1].pairs == (None if corpus.pairs is None else corpus.pairs[20:26])


@pytest.mark.parametrize("generate", BOTH)
def test_impossible_sizes_are_refused(generate: Callable[..., Corpus], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="negative"):
        generate(np.random.default_rng(0), rows=-1)
    nothing = generate(np.random.default_rng(0), rows=0)
    assert len(nothing) == 0
    with pytest.raises(UserError, match="too small"):
        write_task(tmp_path, nothing, train=1, dev=0, test=0)
