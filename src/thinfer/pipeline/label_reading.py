"""How the labels of a data file are to be read: by what the model, the user or the file says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from thinfer.bundle import LAYOUT, open_bundle
from thinfer.errors import DataError
from thinfer.nn.checkpoint import peek_labels
from thinfer.text.corpus import Corpus, read_corpus
from thinfer.text.label_sets import SEPARATOR, are_label_sets, choose_separator

__all__ = ["FoundLabels", "read_training_text", "separator_of_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLabels:
    """What a training file says about its labels.

    Attributes:
        names: every label, sorted.
        is_multi_label: whether a text may have several, or none.
    """

    names: tuple[str, ...]
    is_multi_label: bool


def separator_of_model(model: str | Path, asked: str | None) -> str | None:
    """Give the separator for a model that is not open yet.

    Args:
        model: a bundle, a checkpoint directory or a hub name.
        asked: as the user named it, if at all.

    Returns:
        As `choose_separator`.
    """
    folder = Path(model)
    if (folder / LAYOUT.manifest).is_file() or (folder / LAYOUT.seal).is_file():
        kind = open_bundle(folder, verify=False).manifest.problem_type
        return choose_separator(asked, is_multi_label=kind == "multi_label_classification")
    is_multi_label, _ = peek_labels(model)
    return choose_separator(asked, is_multi_label=is_multi_label)


def read_training_text(
    train: Path,
    dev: Path,
    *,
    model: str | None,
    columns: tuple[str | None, str | None],
    is_multi_label: bool,
    separator: str | None,
) -> tuple[Corpus, Corpus, FoundLabels]:
    """Read the text that a model is fitted on.

    Args:
        train: rows to learn from.
        dev: rows that choose the epoch.
        model: the checkpoint that is to be trained further; None for a preset.
        columns: names of the text and the label column.
        is_multi_label: the user says that a text may have several labels.
        separator: between the labels of a cell; given, a text may have several.

    Returns:
        Both, and the labels of `train`. A text may have several labels where the user says so,
        where every label is a JSON list, or where the model says so and the file's labels are its.

    Raises:
        DataError: a file cannot be used, or all rows of `train` have the same label.
    """
    known: tuple[str, ...] = ()
    if separator is None and is_multi_label:
        separator = SEPARATOR
    elif separator is None and model is not None:
        known = _known_to(model, _Read(train, columns))
    if separator is None and (known or _says_sets(_Read(train, columns))):
        separator = SEPARATOR
    first = _Read(train, columns).by(separator)
    names = known or _names(first, is_sets=separator is not None)
    if len(set(first.labels or ())) < 2:
        what = f"the train set '{first.name}' holds one class only"
        raise DataError(
            what,
            expected="rows of two classes or more, or of two different sets of labels",
            got=str(list(names)),
            do="give a file that holds every class, or name the right --label-column",
        )
    found = FoundLabels(names=names, is_multi_label=separator is not None)
    return first, _Read(dev, columns).by(separator), found


@dataclass(frozen=True, slots=True)
class _Read:
    path: Path
    columns: tuple[str | None, str | None]

    def by(self, separator: str | None) -> Corpus:
        text, label = self.columns
        return read_corpus(
            self.path, text_column=text, label_column=label, label_separator=separator
        )


def _known_to(model: str, file: _Read) -> tuple[str, ...]:
    """Give the labels of a multi-label model where they are all that the file names."""
    is_multi_label, known = peek_labels(model)
    if not is_multi_label or not set(_names(file.by(SEPARATOR), is_sets=True)) <= set(known):
        return ()
    return known


def _says_sets(file: _Read) -> bool:
    return are_label_sets(file.by(None).labels or ())


def _names(corpus: Corpus, *, is_sets: bool) -> tuple[str, ...]:
    labels = set(corpus.labels or ())
    if not is_sets:
        return tuple(sorted(labels))
    return tuple(sorted({name for label in labels for name in json.loads(label)}))
