"""The labelled file of an audit: its ids must be those that were given out, its labels known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError, at
from thinfer.quality.labels import LabelSet
from thinfer.quality.stakes import UNLABELLED
from thinfer.text.table import Table, read_table

__all__ = ["read_labels"]


def read_labels(path: Path, ids: Sequence[str], labels: LabelSet) -> NDArray[np.int64]:
    """Read the labels that came back, in any order of rows; other columns are not looked at.

    Args:
        path: CSV, TSV, JSONL or Parquet with the columns `id` and `label`.
        ids: those that were given out.
        labels: the classes.

    Returns:
        int64 `[ids]`: the class of each, or `UNLABELLED` where its row or label is absent.

    Raises:
        DataError: a column is absent, an id is unknown or stands twice, or a label is unknown.
    """
    table = read_table(path, names=("id", "label"))
    names = [(cell or "").strip() for cell in _column(table, "id", path)]
    given = [_clean(cell or "", labels) for cell in _column(table, "label", path)]
    places = {name: place for place, name in enumerate(ids)}
    unknown = [name for name in names if name not in places]
    if unknown:
        what = f"'{path}' is not the file of this audit"
        raise DataError(
            what,
            expected="ids of its to_label.csv",
            got=f"{len(unknown):,} other ids, the first {unknown[0][:20]!r}",
            do="bring the file that this audit wrote, with its id column as it was",
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        what = f"'{path}' has an id more than once"
        raise DataError(what, got=repr(twice[:20]), do="keep one row of each")
    truth = np.full(len(ids), UNLABELLED, dtype=np.int64)
    known = [row for row, label in enumerate(given) if label]
    with at(file=path.name):
        classes = labels.align([given[row] for row in known], rows=known)
    truth[[places[names[row]] for row in known]] = classes
    return truth


def _clean(label: str, labels: LabelSet) -> str:
    """Drop the blanks that a spreadsheet may leave; labels themselves are exact."""
    return label if label in labels.names else label.strip()


def _column(table: Table, name: str, path: Path) -> Sequence[str | None]:
    found = [column for column in table.columns if column.strip().lower() == name]
    if len(found) != 1:
        what = f"the labelled file '{path}' has no column {name!r}"
        raise DataError(
            what,
            expected="the columns id and label of to_label.csv",
            got="columns " + (", ".join(repr(column) for column in table.columns) or "none"),
        )
    return table.columns[found[0]]
