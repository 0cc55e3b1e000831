"""Streaming gives the rows of `read_corpus`, in pieces, and refuses what that refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thinfer.errors import DataError, ThinferError, UserError
from thinfer.text.corpus import read_corpus
from thinfer.text.stream import decode_lines, stream_rows

GOOD = {
    "plain.csv": b"text,label\nhello,a\n,b\n\nlast,c",
    "quoted.csv": b'label,TEXT\r\na,"two\nlines, ""q"""\r\nb,x\r\n',
    "bom.csv": "\ufefftext\n你好\n".encode(),
    "mac.csv": b"text,label\rone,a\rtwo,b\r",
    "short.csv": b"label,text\na\nb,y\n",
    "pair.csv": b"text,text_pair\na,b\nc\n",
    "head.tsv": b'text\tlabel\n"raw\ta\n\tb\n\nx\tc\n',
    "column.tsv": b"text\none\n\nthree\n",
    "bare.tsv": b'he said "no\tham\r\nyes\tspam\r\n',
    "three.tsv": b"a\tb\tx\nc\td\ty\n",
    "lines.txt": "one\n\n\u2028three\nfour".encode(),
    "odd.jsonl": b'{"text": "a"}\n\n{"Label": 3}\n{"text": 7, "x": []}\n{"text": "\\ud800"}\n',
    "case.jsonl": b'{"Text": "a", "text_pair": "p"}\n{"Text": null}',
}
BAD = {
    "none.csv": b"",
    "header.csv": b"text,label\n",
    "other.csv": b"body,label\nx,a\n",
    "double.csv": b"text,text\nx,a\n",
    "wide.csv": b"text,label\nx,a,b\n",
    "quote.csv": b'text\n"a"b\n',
    "latin.csv": b"text\nok\ncaf\xe9\n",
    "ragged.tsv": b"a\tb\nc\n",
    "four.tsv": b"a\tb\tc\td\ne\tf\tg\th\n",
    "list.jsonl": b"[1]\n",
    "broken.jsonl": b'{"text": "a"}\n{"text"\n',
    "other.jsonl": b'{"body": "a"}\n',
    "fake.parquet": b"PAR1",
}


def write(folder: Path, name: str, raw: bytes) -> Path:
    path = folder / name
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("name", GOOD)
def test_rows_are_those_of_the_whole_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, GOOD[name])
    corpus = read_corpus(path, need_labels=False, keep_empty=True)
    rows = list(stream_rows(path))
    assert [row.text for row in rows] == list(corpus.texts)
    assert [row.row for row in rows] == list(range(len(corpus)))
    pairs = [row.pair for row in rows]
    assert pairs == list(corpus.pairs if corpus.pairs is not None else [None] * len(rows))


@pytest.mark.parametrize("name", BAD)
def test_what_the_whole_reader_refuses_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, BAD[name])
    for read in (
        lambda: read_corpus(path, need_labels=False, keep_empty=True),
        lambda: list(stream_rows(path)),
    ):
        with pytest.raises(DataError) as caught:
            read()
        assert name in str(caught.value)


def test_another_column_is_read_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", b"body\tlabel\nx\ty\n")
    assert [row.text for row in stream_rows(path, text_column="BODY")] == ["x"]
    with pytest.raises(DataError, match="columns 'body', 'label'"):
        list(stream_rows(path, text_column="content"))


@pytest.mark.parametrize("name", ["absent.csv", "table.xlsx"])
def test_an_absent_file_and_an_unknown_format(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        list(stream_rows(tmp_path / name))


def test_parquet_is_read_in_pieces(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    texts: list[str | None] = [f"text {row}" for row in range(2500)]
    texts[7] = None
    parquet.write_table(pyarrow.table({"label": ["x"] * 2500, "Text": texts}), str(path))
    rows = list(stream_rows(path))
    assert [row.text for row in rows] == [text or "" for text in texts]
    parquet.write_table(pyarrow.table({"body": ["x"]}), str(path))
    with pytest.raises(ThinferError, match="no column 'text'"):
        list(stream_rows(path))


def test_a_long_field_and_every_byte_is_told(tmp_path: Path) -> None:
    raw = b'text\n"' + b"x" * 1_000_000 + b'"\n'
    told: list[int] = []
    rows = list(stream_rows(write(tmp_path, "long.csv", raw), advance=told.append))
    assert len(rows[0].text) == 1_000_000
    assert sum(told) == len(raw)


def test_only_what_is_needed_is_read(tmp_path: Path) -> None:
    """The tail is broken, but nobody has come so far."""
    for name, good, bad in (
        ("a.csv", b"text\n" + b"ok\n" * 10, b"\xff\n"),
        ("a.txt", b"ok\n" * 10, b"\xff\n"),
        ("a.jsonl", json.dumps({"text": "ok"}).encode() + b"\n", b"{\n"),
    ):
        raw = good * 2000 + bad if name != "a.csv" else good + b"ok\n" * 20_000 + bad
        rows = stream_rows(write(tmp_path, name, raw))
        assert next(rows).text == "ok"
        with pytest.raises(DataError):
            list(rows)


def test_the_place_of_a_bad_byte_is_named() -> None:
    told: list[int] = []
    with pytest.raises(DataError, match=r"0xff at byte offset 4 \(line 2\)"):
        list(decode_lines([b"ab\n", b"c\xff\n"], "stdin", advance=told.append))
    assert told == [3]
