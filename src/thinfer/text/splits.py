"""Rows that two data files share, and a corpus without them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from thinfer.text.corpus import Corpus

__all__ = ["LeakReport", "find_leaks", "normal_form", "without"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakReport:
    """Rows of one corpus that another holds too.

    Attributes:
        rows: positions in the second corpus's `texts`, rising.
        conflicting: how many of them carry a label that the first corpus never gives the text.
    """

    rows: tuple[int, ...]
    conflicting: int


def find_leaks(reference: Corpus, other: Corpus) -> LeakReport:
    """Find the rows of a corpus whose text stands in the reference too.

    Texts are alike when they agree in NFKC form, without white space and in lower case; a pair
    belongs to its text.

    Args:
        reference: the corpus that came first, for example the training rows.
        other: the corpus to keep clean, for example the test rows.

    Returns:
        The leaked rows; a label conflict is counted only where both corpora have labels.
    """
    known: dict[tuple[str, str], set[str]] = {}
    for key, label in zip(_keys(reference), _labels(reference), strict=True):
        known.setdefault(key, set()).add(label)
    rows, conflicting = [], 0
    is_labelled = reference.labels is not None and other.labels is not None
    for row, (key, label) in enumerate(zip(_keys(other), _labels(other), strict=True)):
        if key in known:
            rows.append(row)
            conflicting += is_labelled and label not in known[key]
    return LeakReport(rows=tuple(rows), conflicting=conflicting)


def without(corpus: Corpus, indices: Iterable[int]) -> Corpus:
    """Give a corpus without some rows; the others keep their order and row numbers.

    Args:
        corpus: any corpus.
        indices: positions in `texts` to leave out.
    """
    dropped = frozenset(indices)
    return corpus.select([row for row in range(len(corpus)) if row not in dropped])


def _keys(corpus: Corpus) -> Iterable[tuple[str, str]]:
    pairs = corpus.pairs or ("",) * len(corpus)
    return zip(map(normal_form, corpus.texts), map(normal_form, pairs), strict=True)


def _labels(corpus: Corpus) -> tuple[str, ...]:
    return corpus.labels if corpus.labels is not None else ("",) * len(corpus)


def normal_form(text: str) -> str:
    """Give the form in which texts are compared: NFKC, no white space, lower case."""
    return "".join(unicodedata.normalize("NFKC", text).split()).lower()
