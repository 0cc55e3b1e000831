"""`thinfer predict`: one JSON object a line, from words, lines or a file of any size."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import typer

from thinfer.cli.output import Output, encode_json
from thinfer.errors import UserError

if TYPE_CHECKING:
    from thinfer.classifier import Classifier
    from thinfer.text.long_text import LongText, Policy
    from thinfer.text.stream import TextRow

__all__ = ["command"]

CHUNK_ROWS = 256  # sorted by length inside; bounds what is held in memory


def command(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any, lines of stdin are read.")
    ] = None,
    *,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="CSV, TSV, .txt, JSONL or Parquet file.")
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output", help="JSONL file; stdout when absent.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of the text; by default 'text'.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="An engine that the bundle lists.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of one engine call.")] = None,
    long_text: Annotated[
        str | None,
        typer.Option(help="error, head, tail, head_tail or windows; by default the bundle's rule."),
    ] = None,
    output: Output,
) -> None:
    """Classify texts: one JSON object a line, in input order.

    Empty and over-long texts are answered too; `truncated` says that a text was cut. A file
    is read in pieces, and --output appears only when it is whole.

    Raises:
        UserError: both texts and a file are given.
    """
    from thinfer.classifier import Classifier
    from thinfer.text.long_text import LongText

    rule = None if long_text is None else LongText(policy=cast("Policy", long_text))  # it checks
    if texts and input_file:
        what = "both texts and --input are given"
        raise UserError(what, do="give one of them")
    with Classifier.open(bundle, engine=engine, threads=threads) as classifier:
        size = 1 if not texts and input_file is None and sys.stdin.isatty() else CHUNK_ROWS
        with _sink(output_file) as write, _rows(texts, input_file, text_column, output) as rows:
            count, cut = _answer(classifier, rows, write, size=size, long_text=rule)
    output.note(f"texts answered: {count}, of them truncated: {cut}")
    if output_file is not None and output.is_json:
        output.result({"output": str(output_file), "n": count, "truncated": cut}, "")


def _answer(
    classifier: Classifier,
    rows: Iterator[TextRow],
    write: Callable[[bytes], object],
    *,
    size: int,
    long_text: LongText | None,
) -> tuple[int, int]:
    """Answer all rows, a chunk at a time; gives how many, and how many were cut."""
    count = cut = 0
    while chunk := list(islice(rows, size)):
        pairs = [row.pair or "" for row in chunk] if chunk[0].pair is not None else None
        answers = classifier.predict([row.text for row in chunk], pairs, long_text=long_text)
        for row, answer in zip(chunk, answers, strict=True):
            second = {} if row.pair is None else {"text_pair": row.pair}
            body = {
                "row": row.row,
                "text": row.text,
                **second,
                "label": answer.label,
                **({"labels": list(answer.labels)} if classifier.is_multi_label else {}),
                "score": answer.score,
                "scores": answer.scores,
                "truncated": answer.truncated,
            }
            write(f"{encode_json(body)}\n".encode())
            cut += answer.truncated
        count += len(chunk)
    return count, cut


@contextmanager
def _rows(
    texts: list[str] | None, path: Path | None, column: str | None, output: Output
) -> Iterator[Iterator[TextRow]]:
    """Rows out of the words of the command, a file, or the lines of stdin."""
    from thinfer.text.stream import TextRow, decode_lines, stream_rows

    def number(values: Iterable[str]) -> Iterator[TextRow]:
        return (TextRow(row=row, text=text) for row, text in enumerate(values))

    if path is not None:
        total = path.stat().st_size if path.is_file() else 0
        with output.progress.task(f"bytes of {path.name}", total) as advance:
            yield stream_rows(path, text_column=column, advance=advance)
    elif texts:
        yield number(texts)
    else:
        if sys.stdin.isatty():
            output.note("reading one text a line; end with Ctrl-D")
        lines = decode_lines(sys.stdin.buffer, "stdin")
        yield number(line.removesuffix("\n").removesuffix("\r") for line in lines)


@contextmanager
def _sink(path: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Where the lines go: stdout, or a file that appears only when it is whole."""
    if path is None:
        yield _write_stdout
        return
    if path.exists() and not path.is_file():  # a pipe or a device has nothing to rename
        with path.open("wb") as stream:
            yield stream.write
        return
    if not path.parent.is_dir():
        what = f"the folder of '{path}' does not exist"
        raise UserError(what, do="make it, or name another --output")
    with _whole_file(path) as stream:
        yield stream.write


def _write_stdout(line: bytes) -> None:
    sys.stdout.write(line.decode())
    if sys.stdout.isatty():
        sys.stdout.flush()


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)  # a temporary file is private, a result is not
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
