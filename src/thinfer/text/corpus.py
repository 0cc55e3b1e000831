"""`Corpus`: texts, their pairs and labels, with the row each came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from thinfer.errors import DataError, UserError, at
from thinfer.text.label_sets import read_label_set
from thinfer.text.table import Table, read_table

__all__ = ["Corpus", "read_corpus"]

TEXT_COLUMN, PAIR_COLUMN, LABEL_COLUMN = "text", "text_pair", "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Rows of one data file; all tuples have one length.

    Attributes:
        texts: the first text of each row.
        pairs: the second text of each row, or None when the file has none.
        labels: the file's exact strings, or None when it has none; sets of labels as
            `format_label_set` gives them.
        rows: row number in the file of each text; data rows count from 0.
        name: what to call it in messages, the file's name.
        digest: SHA-256 of texts, pairs and labels in order; the format does not matter.
        dropped_empty: rows left out because they hold no text.
        columns: further columns of the file, name → the value in each row; no part of the digest.
    """

    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    rows: tuple[int, ...] = ()
    name: str = "corpus"
    digest: str = ""
    dropped_empty: int = 0
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.rows:
            object.__setattr__(self, "rows", tuple(range(len(self.texts))))
        parts = {"rows": self.rows, "pairs": self.pairs, "labels": self.labels, **self.columns}
        lengths = {name: len(part) for name, part in parts.items() if part is not None}
        if any(length != len(self.texts) for length in lengths.values()):
            what = f"the parts of the corpus '{self.name}' differ in length"
            raise DataError(what, expected=f"{len(self.texts)} each", got=str(lengths))
        if not self.digest:
            object.__setattr__(self, "digest", _digest(self))

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, indices: Sequence[int]) -> Corpus:
        """Give the corpus of some rows, in the order asked for, with its own digest.

        Args:
            indices: positions in `texts` (not row numbers of the file).
        """
        return replace(
            self,
            texts=tuple(self.texts[i] for i in indices),
            pairs=None if self.pairs is None else tuple(self.pairs[i] for i in indices),
            labels=None if self.labels is None else tuple(self.labels[i] for i in indices),
            rows=tuple(self.rows[i] for i in indices),
            columns={
                name: tuple(values[i] for i in indices) for name, values in self.columns.items()
            },
            digest="",
        )


def read_corpus(
    path: Path | str,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    label_separator: str | None = None,
    need_labels: bool = True,
    keep_empty: bool = False,
    columns: Sequence[str] = (),
) -> Corpus:
    """Read texts, and labels where there are any, from CSV, TSV, `.txt`, JSONL or Parquet.

    Args:
        path: the file; its suffix is its format.
        text_column: name of the text column; by default `text`, in any case.
        label_column: name of the label column; by default `label`, in any case.
        label_separator: given, a row may have several labels, or none: a JSON list, or names with
            this between them, an empty cell for none. Absent, a row has one label.
        need_labels: whether a file without labels is refused.
        keep_empty: whether rows without text stay, so that each row gets an answer.
        columns: further columns to keep; a cell that is empty or missing is the empty string.

    Returns:
        The corpus; a column `text_pair` becomes its pairs.

    Raises:
        UserError: the file does not exist, its suffix is not known, or the separator is empty.
        DataError: the file is empty, is not UTF-8, breaks its format, has no such column
            (the columns found are listed), lacks a label somewhere, holds no row, or a list of
            labels holds something else.
    """
    path = Path(path)
    wanted = (text_column or TEXT_COLUMN, label_column or LABEL_COLUMN)
    names = [name.lower() for name in (*wanted, PAIR_COLUMN, *columns)]
    # A column asked for by name means that the file has a header, whatever it looks like.
    is_named = text_column is not None or label_column is not None
    table = read_table(path, names=names, is_plain_allowed=not need_labels and not is_named)
    texts = _column(table, wanted[0], path)
    pairs = None if (name := _find(table, PAIR_COLUMN)) is None else table.columns[name]
    labels = None
    if need_labels or label_column is not None or _find(table, LABEL_COLUMN) is not None:
        labels = _column(table, wanted[1], path)
    if labels is not None and label_separator is not None:
        labels = _read_sets(labels, label_separator, path)
    corpus = _build(path, texts=texts, pairs=pairs, labels=labels, flags=(need_labels, keep_empty))
    further = {
        name: _column(table, name, path, do="mend the slice's column, or bring data that has it")
        for name in dict.fromkeys(columns)
    }
    kept = {
        name: tuple(values[row] or "" for row in corpus.rows) for name, values in further.items()
    }
    return replace(corpus, columns=kept) if kept else corpus


def _read_sets(cells: Sequence[str | None], separator: str, path: Path) -> Sequence[str | None]:
    if not separator:
        what = "the separator of labels is empty"
        raise UserError(what, expected="for example --label-separator '|'")
    found: list[str | None] = []
    for row, cell in enumerate(cells):
        with at(file=path.name, row=row):
            found.append(None if cell is None else read_label_set(cell, separator))
    return found


def _build(
    path: Path,
    *,
    texts: Sequence[str | None],
    pairs: Sequence[str | None] | None,
    labels: Sequence[str | None] | None,
    flags: tuple[bool, bool],
) -> Corpus:
    need_labels, keep_empty = flags
    second = pairs if pairs is not None else [None] * len(texts)
    kept = [
        row
        for row, (text, pair) in enumerate(zip(texts, second, strict=True))
        if keep_empty or (text or "").strip() or (pair or "").strip()
    ]
    if not kept:
        what = f"the data file '{path}' holds no row with text"
        raise DataError(what, expected="at least one row", got=f"{len(texts)} empty rows")
    if labels is not None and need_labels:
        bare = next((row for row in kept if not labels[row]), None)
        if bare is not None:
            what = f"row {bare} of '{path}' has no label"
            raise DataError(what, do="label it, or take the row out")
    return Corpus(
        texts=tuple(texts[row] or "" for row in kept),
        pairs=None if pairs is None else tuple(pairs[row] or "" for row in kept),
        labels=None if labels is None else tuple(labels[row] or "" for row in kept),
        rows=tuple(kept),
        name=path.name,
        dropped_empty=len(texts) - len(kept),
    )


def _find(table: Table, name: str) -> str | None:
    if name in table.columns:
        return name
    alike = [column for column in table.columns if column.strip().lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _column(
    table: Table,
    name: str,
    path: Path,
    *,
    do: str = "name the column with --text-column or --label-column",
) -> Sequence[str | None]:
    found = _find(table, name)
    if found is None:
        what = f"the data file '{path}' has no column {name!r}"
        columns = ", ".join(repr(column) for column in table.columns) or "none"
        columns += "" if table.has_header else " (by position: the first line is no header)"
        raise DataError(what, expected=name, got=f"columns {columns}", do=do)
    return table.columns[found]


def _digest(corpus: Corpus) -> str:
    # ASCII JSON has one form for each row, lone surrogates included.
    body = [list(corpus.texts), corpus.pairs, corpus.labels]
    return hashlib.sha256(json.dumps(body).encode("ascii")).hexdigest()
