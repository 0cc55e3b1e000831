"""The labelled text of a run: read, checked for leaks, aligned with the model's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError, at
from thinfer.pipeline.request import DataRequest
from thinfer.quality.floor import Floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.subject import find_rows
from thinfer.text.corpus import Corpus, read_corpus
from thinfer.text.label_sets import choose_separator
from thinfer.text.splits import find_leaks, without
from thinfer.text.tokenizer import Encoding, Tokenizer

__all__ = ["DataSets", "LabelledSet", "label_corpus", "load_sets"]

Truth = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledSet:
    """Texts with the model's answer to each, as it should be.

    Attributes:
        corpus: texts, pairs and row numbers.
        truth: int64 `[rows]`, codes of the model's `LabelSet`: classes, or sets of labels.
    """

    corpus: Corpus
    truth: Truth

    def __len__(self) -> int:
        return len(self.corpus)

    def encode(self, tokenizer: Tokenizer, rows: slice = slice(None)) -> Encoding:
        """Tokenise some rows.

        Args:
            tokenizer: whose ids are wanted.
            rows: which rows, all by default.
        """
        pairs = self.corpus.pairs
        return tokenizer.encode(self.corpus.texts[rows], None if pairs is None else pairs[rows])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataSets:
    """Train, dev and test of one run.

    Attributes:
        train: calibrates, covers, retrains.
        dev: chooses.
        test: judges; rows that leaked from train or dev are left out.
        unlabelled: more text to cover and to distil on, if any; what stands in dev or test is
            left out.
        facts: rows, leaked and dropped rows, digests; for the report.
        warnings: what the user should know of the data.
    """

    train: LabelledSet
    dev: LabelledSet
    test: LabelledSet
    unlabelled: Corpus | None
    facts: Mapping[str, Any]
    warnings: tuple[str, ...]


def label_corpus(corpus: Corpus, labels: LabelSet) -> LabelledSet:
    """Give a corpus with the code of each row's label.

    Args:
        corpus: with labels.
        labels: the model's.

    Returns:
        The labelled set.

    Raises:
        DataError: the corpus has no labels, or one that the model does not know.
    """
    if corpus.labels is None:
        what = f"'{corpus.name}' has no labels"
        raise DataError(what, do="name the column with --label-column")
    with at(file=corpus.name):
        truth = labels.align(corpus.labels, rows=corpus.rows)
    return LabelledSet(corpus=corpus, truth=truth)


def load_sets(request: DataRequest, labels: LabelSet, floors: Sequence[Floor] = ()) -> DataSets:
    """Read the three sets and leave out of `test` what the others already showed.

    Args:
        request: files and columns.
        labels: the model's labels.
        floors: their slices must occur in `dev` and in `test`.

    Returns:
        The sets, with what was found.

    Raises:
        DataError: a file cannot be used, a label is unknown, or only one class is there.
    """
    sliced = [*request.slices, *(floor.slice[0] for floor in floors if floor.slice is not None)]
    separator = choose_separator(request.label_separator, is_multi_label=labels.is_multi_label)
    read = {
        name: read_corpus(
            path,
            text_column=request.text_column,
            label_column=request.label_column,
            columns=() if name == "train" else sliced,
            label_separator=separator,
        )
        for name, path in (("train", request.train), ("dev", request.dev), ("test", request.test))
    }
    for corpus in read.values():
        label_corpus(corpus, labels)  # a row that leaked must not hide that its label is unknown
    known, dev_leaks = [read["train"]], find_leaks(read["train"], read["dev"])
    known.append(read["dev"])
    leaked: set[int] = set()
    conflicting = 0
    for reference in known:
        report = find_leaks(reference, read["test"])
        leaked |= set(report.rows)
        conflicting += report.conflicting
    kept = {**read, "test": without(read["test"], sorted(leaked))}
    sets = {name: label_corpus(corpus, labels) for name, corpus in kept.items()}
    for name, part in sets.items():
        _require_classes(name, part)
    for name in ("dev", "test"):
        for floor in floors:
            with at(file=sets[name].corpus.name):
                find_rows(floor, sets[name].corpus.columns, len(sets[name]))
    warnings = []
    dropped = sum(corpus.dropped_empty for corpus in read.values())
    if dropped:
        warnings.append(f"{dropped} rows without a text were left out.")
    if leaked:
        warnings.append(
            f"{len(leaked)} test rows also stand in train or dev ({conflicting} with another "
            "label); they were left out of the judgement."
        )
    if dev_leaks.rows:
        warnings.append(f"{len(dev_leaks.rows)} dev rows also stand in train.")
    facts = {
        **{name: len(part) for name, part in sets.items()},
        "leaked": len(leaked),
        "dev_in_train": len(dev_leaks.rows),
        "dropped": dropped,
        "test_digest": sets["test"].corpus.digest,
    }
    unlabelled = _load_unlabelled(request, read)
    if unlabelled is not None:
        facts["unlabelled"] = len(unlabelled)
    return DataSets(**sets, unlabelled=unlabelled, facts=facts, warnings=tuple(warnings))


def _load_unlabelled(request: DataRequest, read: Mapping[str, Corpus]) -> Corpus | None:
    if request.unlabelled is None:
        return None
    extra = read_corpus(request.unlabelled, text_column=request.text_column, need_labels=False)
    if (extra.pairs is None) != (read["train"].pairs is None):
        what = f"'{extra.name}' and '{read['train'].name}' do not have the same text columns"
        raise DataError(what, expected="single texts in both, or pairs in both")
    # A student that has seen its teacher's answers to the test texts would look too good.
    seen = {row for name in ("dev", "test") for row in find_leaks(read[name], extra).rows}
    return without(extra, sorted(seen))


def _require_classes(name: str, part: LabelledSet) -> None:
    if not len(part):  # a file without rows was refused when it was read
        what = f"every row of the {name} set '{part.corpus.name}' stands in train or dev too"
        raise DataError(
            what,
            expected="rows that took no part in the choice",
            got="0 rows",
            do="split the data anew, so that no text is in two of the files",
        )
    classes = np.unique(part.truth)
    if len(classes) < 2:
        what = f"the {name} set '{part.corpus.name}' holds one class only"
        raise DataError(
            what,
            expected="rows of two classes or more, or of two different sets of labels",
            got=f"{len(part)} rows of {part.corpus.labels[0]!r}" if part.corpus.labels else "none",
            do="give a file that holds every class",
        )


def head(part: LabelledSet, rows: int) -> LabelledSet:
    """Give the first rows of a set.

    Args:
        part: the set.
        rows: how many, at most.
    """
    count = min(rows, len(part))
    return replace(part, corpus=part.corpus.select(range(count)), truth=part.truth[:count])
