"""Sets of labels in a data file: JSON lists or separated names, read into one form."""

from __future__ import annotations

import json
from collections.abc import Iterable

from thinfer.errors import DataError, UserError
from thinfer.text.table import cell_text

__all__ = [
    "SEPARATOR",
    "are_label_sets",
    "choose_separator",
    "format_label_set",
    "read_label_set",
]

SEPARATOR = "|"  # between the labels of a CSV or TSV cell, unless the user names another


def format_label_set(names: Iterable[str]) -> str:
    """Give a set of labels as a `Corpus` keeps it: a JSON list, sorted, no name twice.

    Args:
        names: exact labels; none at all is a set too.
    """
    return json.dumps(sorted(set(names)), ensure_ascii=False)


def read_label_set(cell: str, separator: str) -> str:
    """Give a cell of a label column in that form.

    Args:
        cell: a JSON list of names, as JSONL and Parquet give lists; else names with the
            separator between them. An empty cell is the empty set.
        separator: at least one character; not looked for in a JSON list.

    Returns:
        What `format_label_set` gives.

    Raises:
        DataError: the list holds something that is no name.
    """
    listed = _listed(cell)
    if listed is None:
        return format_label_set(name for name in cell.split(separator) if name)
    names = [None if isinstance(item, list | dict) else cell_text(item) for item in listed]
    if any(not name for name in names):
        what = "a list of labels holds something that is no name"
        raise DataError(what, expected='["spam", "ad"], or [] for no label', got=cell[:80])
    return format_label_set(name for name in names if name)


def are_label_sets(cells: Iterable[str]) -> bool:
    """Say whether every cell is a JSON list, so that the file itself says: several labels.

    Args:
        cells: of a label column.
    """
    return all(_listed(cell) is not None for cell in cells)


def choose_separator(asked: str | None, *, is_multi_label: bool) -> str | None:
    """Give the separator that `read_corpus` needs for a model.

    Args:
        asked: as the user named it, if at all.
        is_multi_label: whether the model gives a text several labels, or none.

    Returns:
        The one asked for, else `|`; None for a model of one label a text.

    Raises:
        UserError: a separator was asked for and the model gives one label a text.
    """
    if is_multi_label:
        return SEPARATOR if asked is None else asked
    if asked is not None:
        what = "a separator of labels is for models that give a text several labels"
        raise UserError(what, do="leave --label-separator away, or fit with --multi-label")
    return None


def _listed(cell: str) -> list[object] | None:
    if not cell.startswith("["):
        return None
    try:
        found = json.loads(cell)
    except ValueError:
        return None
    return found if isinstance(found, list) else None
