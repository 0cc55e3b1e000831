"""`Table`: the columns of a data file as text, whatever its format; the format is the suffix."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinfer.core.optional import require
from thinfer.errors import DataError, UserError

__all__ = ["Table", "cell_text", "read_table"]

Rows = list[list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Named columns, all of one length.

    Attributes:
        columns: name → cells `[rows]`; None where the file has no value.
        rows: int, number of data rows; the header and blank lines are not counted.
        has_header: False when the file has no names and the columns are known by position.
    """

    columns: Mapping[str, Sequence[str | None]]
    rows: int
    has_header: bool = True


def read_table(path: Path, *, names: Sequence[str], is_plain_allowed: bool = False) -> Table:
    """Read a CSV, TSV, `.txt`, JSONL or Parquet file.

    Args:
        path: the file; its suffix is its format.
        names: column names, lower case, that make the first line of a TSV or `.txt` a header.
        is_plain_allowed: whether a `.tsv` or `.txt` without any tab may be one text a line.

    Returns:
        The table. A headerless TSV has the columns `text` and `label`, or with three fields
        `text`, `text_pair` and `label`.

    Raises:
        UserError: the file does not exist, or its suffix is none of the known ones.
        DataError: the file is empty, is not UTF-8, or cannot be read in its format.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS and suffix != ".parquet":
        what = f"the format of '{path}' is not known"
        known = ", ".join([*sorted(_READERS), ".parquet"])
        raise UserError(what, expected=f"a name ending in {known}", got=suffix or "no suffix")
    if not path.is_file():
        what = f"the data file '{path}' does not exist"
        raise UserError(what, do="check the path")
    try:
        if path.stat().st_size == 0:
            what = f"the data file '{path}' is empty"
            do = "give the file that holds the rows"
            raise DataError(what, expected="at least one row", got="0 bytes", do=do)
        if suffix == ".parquet":
            return _read_parquet(path)
        raw = path.read_bytes()
    except OSError as error:
        what = f"the data file '{path}' cannot be read"
        raise DataError(what, got=error.strerror or str(error)) from error
    options = _Options(names=tuple(names), is_plain_allowed=is_plain_allowed)
    return _READERS[suffix](_decode(raw, path, suffix), path, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    names: tuple[str, ...]
    is_plain_allowed: bool


def _decode(raw: bytes, path: Path, suffix: str) -> str:
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8")
        line = good.count("\n") + 1
        row = len(_csv_records(good + "?", is_strict=False)) if suffix == ".csv" else line
        what = f"the data file '{path}' is not UTF-8"
        raise DataError(
            what,
            got=f"byte 0x{raw[error.start]:02x} at byte offset {error.start}"
            f" (line {line}, record {row} counting the first line)",
            do="save it as UTF-8, for example with: iconv -f GB18030 -t UTF-8",
        ) from error


def _csv_records(text: str, *, is_strict: bool) -> Rows:
    # The limit belongs to the whole process: it is only ever raised, so that no other reader
    # of this process sees a lower one than before.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    return [row for row in csv.reader(io.StringIO(text, newline=""), strict=is_strict) if row]


def _read_csv(text: str, path: Path, options: _Options) -> Table:
    del options
    try:
        records = _csv_records(text, is_strict=True)
    except csv.Error as error:
        good = len(_csv_records(text, is_strict=False))
        what = f"the CSV file '{path}' breaks the quoting rules of RFC 4180"
        raise DataError(
            what,
            expected='a field with quotes inside as "say ""so"""',
            got=f"{error}, among {good} records",
            do="write the file with a CSV library, or use .tsv, which has no quoting",
        ) from error
    return _with_header(records, path)


def _with_header(records: Rows, path: Path) -> Table:
    if not records:
        what = f"the data file '{path}' is empty"
        raise DataError(what, expected="a header and at least one row", got="blank lines only")
    header, rows = records[0], records[1:]
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    if doubled:
        what = f"the header of '{path}' names a column twice"
        raise DataError(what, got=", ".join(doubled))
    for number, row in enumerate(rows):
        if len(row) > len(header):
            what = f"row {number} of '{path}' has more fields than the header"
            expected = f"{len(header)} fields"
            raise DataError(what, expected=expected, got=f"{len(row)} fields: {row[-1][:40]!r} …")
    columns = {
        name: [row[at] if at < len(row) else None for row in rows] for at, name in enumerate(header)
    }
    return Table(columns=columns, rows=len(rows))


def _read_tsv(text: str, path: Path, options: _Options) -> Table:
    # Only \n ends a line: str.splitlines would also cut at U+2028 and its kin inside a text.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    first = lines[0].split("\t")
    is_header = any(name.strip().lower() in options.names for name in first)
    if is_header:
        skip_blank = len(first) > 1
        return _with_header([ln.split("\t") for ln in lines if ln or not skip_blank], path)
    if len(first) == 1 and options.is_plain_allowed:
        return Table(columns={"text": lines}, rows=len(lines), has_header=False)
    names = {2: ("text", "label"), 3: ("text", "text_pair", "label")}.get(len(first))
    if names is None:
        return _with_header([line.split("\t") for line in lines if line], path)
    records = [line.split("\t") for line in lines if line]
    for number, record in enumerate(records):
        if len(record) != len(names):
            what = f"row {number} of '{path}' does not have the fields of the first row"
            expected = f"{len(names)} fields with tabs between them"
            raise DataError(what, expected=expected, got=f"{len(record)}: {record[0][:40]!r} …")
    columns = {name: [record[at] for record in records] for at, name in enumerate(names)}
    return Table(columns=columns, rows=len(records), has_header=False)


def _read_jsonl(text: str, path: Path, options: _Options) -> Table:
    del options
    records: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            what = f"line {number} of '{path}' is not JSON"
            raise DataError(what, expected="one object a line", got=str(error)) from error
        if not isinstance(record, dict):
            what = f"line {number} of '{path}' is not a JSON object"
            raise DataError(what, expected='{"text": …}', got=type(record).__name__)
        records.append(record)
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: [cell_text(record.get(name)) for record in records] for name in names}
    return Table(columns=columns, rows=len(records))


def cell_text(value: object) -> str | None:
    """Give a cell of JSONL or Parquet as text; a missing one as None.

    Args:
        value: what the format holds: text, a number, a list.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # an integer column with holes is often stored as float
    return json.dumps(value, ensure_ascii=False, default=str)


def _read_parquet(path: Path) -> Table:
    parquet = require("pyarrow.parquet")
    try:
        table = parquet.read_table(str(path))
        columns = {
            str(name): [cell_text(value) for value in table.column(at).to_pylist()]
            for at, name in enumerate(table.column_names)
        }
    except (ValueError, OSError) as error:
        what = f"the Parquet file '{path}' cannot be read"
        raise DataError(what, got=str(error).split("\n", maxsplit=1)[0][:200]) from error
    return Table(columns=columns, rows=int(table.num_rows))


_READERS: Mapping[str, Callable[[str, Path, _Options], Table]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".tsv": _read_tsv,
    ".txt": _read_tsv,
}
