"""Rows of a data file one after another: what `read_corpus` would give, in bounded memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from thinfer.core.optional import require
from thinfer.errors import DataError, UserError
from thinfer.text.table import cell_text

__all__ = ["TextRow", "decode_lines", "stream_rows"]

Record = Mapping[str, str | None]

_PEEK_ROWS = 1000  # of a JSONL file, to learn its columns


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRow:
    """One row to be answered.

    Attributes:
        row: number of the data row, from 0.
        text: the first text; may be empty.
        pair: the second text, or None where the file has none.
    """

    row: int
    text: str
    pair: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    path: Path
    text_column: str | None
    advance: Callable[[int], None]


def stream_rows(
    path: Path | str,
    *,
    text_column: str | None = None,
    advance: Callable[[int], None] = lambda size: None,
) -> Iterator[TextRow]:
    """Read the texts of a CSV, TSV, `.txt`, JSONL or Parquet file; empty ones stay.

    Args:
        path: the file; its suffix is its format.
        text_column: name of the text column; by default `text`, in any case.
        advance: told the bytes of the file that were read since the last call.

    Yields:
        The rows in the file's order; a column `text_pair` becomes their pairs.

    Raises:
        UserError: the file does not exist or its suffix is not known.
        DataError: the file is empty, is not UTF-8, breaks its format, or has no such column.
    """
    source = _Source(path=Path(path), text_column=text_column, advance=advance)
    reader = _READERS.get(source.path.suffix.lower())
    if reader is None:
        what = f"the format of '{path}' is not known"
        raise UserError(what, expected=f"a name ending in {', '.join(sorted(_READERS))}")
    if not source.path.is_file():
        what = f"the data file '{path}' does not exist"
        raise UserError(what, do="check the path")
    number = -1
    for number, row in enumerate(reader(source)):
        yield TextRow(row=number, text=row[0] or "", pair=row[1])
    if number < 0:
        what = f"the data file '{path}' is empty"
        raise DataError(what, expected="at least one row")


Texts = Iterator[tuple[str | None, str | None]]


def decode_lines(
    stream: Iterable[bytes], name: str, *, advance: Callable[[int], None] = lambda size: None
) -> Iterator[str]:
    """Decode lines of UTF-8, their ends included; a byte order mark is dropped.

    Args:
        stream: the lines as bytes.
        name: of the file, for the message.
        advance: told the bytes of each line.

    Yields:
        The lines as text.

    Raises:
        DataError: a line is not UTF-8; names the byte offset and the line.
    """
    offset = 0
    for number, raw in enumerate(stream, start=1):
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            what = f"the data file '{name}' is not UTF-8"
            raise DataError(
                what,
                got=f"byte 0x{raw[error.start]:02x} at byte offset {offset + error.start}"
                f" (line {number})",
                do="save it as UTF-8, for example with: iconv -f GB18030 -t UTF-8",
            ) from error
        offset += len(raw)
        advance(len(raw))
        yield line.removeprefix("\ufeff") if number == 1 else line


def _lines(source: _Source) -> Iterator[str]:
    try:
        with source.path.open("rb") as stream:
            yield from decode_lines(stream, str(source.path), advance=source.advance)
    except OSError as error:
        what = f"the data file '{source.path}' cannot be read"
        raise DataError(what, got=error.strerror or str(error)) from error


def _read_csv(source: _Source) -> Texts:
    # Lines end at \n, and the csv module also knows a lone \r: hand it such lines one by one.
    pieces = (piece for line in _lines(source) for piece in io.StringIO(line, newline=""))
    limit = csv.field_size_limit()
    csv.field_size_limit(max(limit, source.path.stat().st_size + 1))
    records = (row for row in csv.reader(pieces, strict=True) if row)
    try:
        header = next(records, None)
        if header is not None:
            yield from _by_header(source, header, records)
    except csv.Error as error:
        what = f"the CSV file '{source.path}' breaks the quoting rules of RFC 4180"
        raise DataError(
            what,
            expected='a field with quotes inside as "say ""so"""',
            got=str(error),
            do="write the file with a CSV library, or use .tsv, which has no quoting",
        ) from error


def _read_tsv(source: _Source) -> Texts:
    lines = (line.removesuffix("\n").removesuffix("\r") for line in _lines(source))
    first_line = next(lines, None)
    if first_line is None:
        return
    first = first_line.split("\t")
    names = {(source.text_column or "text").lower(), "text", "label", "text_pair"}
    if source.text_column is not None:
        names.discard("text")
    is_header = any(name.strip().lower() in names for name in first)
    is_plain = len(first) == 1 and source.text_column is None
    if not is_header and is_plain:
        for line in chain([first_line], lines):
            yield line, None
    elif not is_header and len(first) in (2, 3):
        yield from _by_position(source, chain([first_line], lines), fields=len(first))
    else:
        keep_blank = is_header and len(first) == 1
        rows = (line.split("\t") for line in lines if line or keep_blank)
        yield from _by_header(source, first, rows)


def _by_position(source: _Source, lines: Iterable[str], *, fields: int) -> Texts:
    header = ["text", "label"] if fields == 2 else ["text", "text_pair", "label"]
    _find_column(source, header)
    for number, record in enumerate(line.split("\t") for line in lines if line):
        if len(record) != fields:
            what = f"row {number} of '{source.path}' does not have the fields of the first row"
            expected = f"{fields} fields with tabs between them"
            raise DataError(what, expected=expected, got=f"{len(record)}: {record[0][:40]!r} …")
        yield record[0], record[1] if fields == 3 else None


def _by_header(source: _Source, header: Sequence[str], rows: Iterable[list[str]]) -> Texts:
    doubled = sorted({name for name in header if name and list(header).count(name) > 1})
    if doubled:
        what = f"the header of '{source.path}' names a column twice"
        raise DataError(what, got=", ".join(doubled))
    text_at = header.index(_find_column(source, header))
    pair = _match("text_pair", header)
    pair_at = None if pair is None else header.index(pair)
    for number, row in enumerate(rows):
        if len(row) > len(header):
            what = f"row {number} of '{source.path}' has more fields than the header"
            expected = f"{len(header)} fields"
            raise DataError(what, expected=expected, got=f"{len(row)} fields: {row[-1][:40]!r} …")
        text = row[text_at] if text_at < len(row) else None
        if pair_at is None:
            yield text, None
        else:
            yield text, row[pair_at] if pair_at < len(row) else ""


def _read_jsonl(source: _Source) -> Texts:
    records = _json_records(source)
    first = list(islice(records, _PEEK_ROWS))
    if not first:
        return
    names = list(dict.fromkeys(name for record in first for name in record))
    text, pair = _find_column(source, names), _match("text_pair", names)
    for record in chain(first, records):
        second = None if pair is None else cell_text(record.get(pair)) or ""
        yield cell_text(record.get(text)), second


def _json_records(source: _Source) -> Iterator[dict[str, object]]:
    for number, line in enumerate(_lines(source), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            what = f"line {number} of '{source.path}' is not JSON"
            raise DataError(what, expected="one object a line", got=str(error)) from error
        if not isinstance(record, dict):
            what = f"line {number} of '{source.path}' is not a JSON object"
            raise DataError(what, expected='{"text": …}', got=type(record).__name__)
        yield record


def _read_parquet(source: _Source) -> Texts:
    parquet = require("pyarrow.parquet")
    try:
        with parquet.ParquetFile(str(source.path)) as stream:
            names = [str(name) for name in stream.schema_arrow.names]
            text, pair = _find_column(source, names), _match("text_pair", names)
            wanted = [text] if pair is None else [text, pair]
            share = source.path.stat().st_size // max(1, stream.metadata.num_rows)
            for part in stream.iter_batches(batch_size=_PEEK_ROWS, columns=wanted):
                texts = part.column(text).to_pylist()
                seconds = [None] * len(texts) if pair is None else part.column(pair).to_pylist()
                source.advance(share * len(texts))
                for value, second in zip(texts, seconds, strict=True):
                    yield cell_text(value), None if pair is None else cell_text(second) or ""
    except (ValueError, OSError) as error:
        what = f"the Parquet file '{source.path}' cannot be read"
        raise DataError(what, got=str(error).split("\n", maxsplit=1)[0][:200]) from error


def _match(name: str, columns: Sequence[str]) -> str | None:
    if name in columns:
        return name
    alike = [column for column in columns if column.strip().lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _find_column(source: _Source, columns: Sequence[str]) -> str:
    name = source.text_column or "text"
    found = _match(name, columns)
    if found is None:
        what = f"the data file '{source.path}' has no column {name!r}"
        got = "columns " + (", ".join(repr(column) for column in columns) or "none")
        raise DataError(what, expected=name, got=got, do="name the column with --text-column")
    return found


_READERS: Mapping[str, Callable[[_Source], Texts]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".tsv": _read_tsv,
    ".txt": _read_tsv,
}
