from __future__ import annotations

import json
from pathlib import Path

import pytest

from thinfer.errors import DataError, UserError
from thinfer.text.corpus import Corpus, read_corpus

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def write(folder: Path, name: str, body: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(body.encode() if isinstance(body, str) else body)
    return path


def test_csv_follows_rfc_4180_and_drops_the_bom(tmp_path: Path) -> None:
    body = '\ufefftext,label\r\n"a, ""b""\nc",x\r\nplain\u2028text,y\r\n'
    corpus = read_corpus(write(tmp_path, "a.csv", body))
    assert corpus.texts == ('a, "b"\nc', "plain\u2028text")
    assert corpus.labels == ("x", "y")
    assert corpus.rows == (0, 1)
    assert corpus.pairs is None


def test_tsv_has_no_quoting(tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path, "a.tsv", 'text\tlabel\n"open\tx\n"a""b"\ty\n'))
    assert corpus.texts == ('"open', '"a""b"')


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.TSV"])
def test_a_headerless_file_is_recognised(tmp_path: Path, name: str) -> None:
    corpus = read_corpus(write(tmp_path, name, 'good\u2028one\t1\r\n"bad\t0'))
    assert corpus.texts == ("good\u2028one", '"bad')
    assert corpus.labels == ("1", "0")


def test_three_headerless_fields_are_text_pair_label(tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path, "a.tsv", "q\ta\t1\nr\tb\t0\n"))
    assert (corpus.texts, corpus.pairs, corpus.labels) == (("q", "r"), ("a", "b"), ("1", "0"))


def test_a_header_is_not_taken_for_a_row(tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path, "a.tsv", "label\tText\n1\tgood\n"))
    assert (corpus.texts, corpus.labels) == (("good",), ("1",))
    path = write(tmp_path, "b.tsv", "sentence\tlabel\ngood\t1\n")
    assert read_corpus(path, text_column="sentence").texts == ("good",)
    with pytest.raises(DataError, match="columns 'sentence', 'label'"):
        read_corpus(path)


def test_plain_lines_are_texts_where_no_label_is_needed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "one\n\nthree\n")
    assert read_corpus(path, need_labels=False, keep_empty=True).texts == ("one", "", "three")
    with pytest.raises(DataError, match="no column 'text'"):
        read_corpus(path)


def test_jsonl_labels_become_strings(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 1}, {"text": "b\u2028", "label": "x", "text_pair": "p"}]
    body = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    corpus = read_corpus(write(tmp_path, "a.jsonl", body))
    assert corpus.labels == ("1", "x")
    assert corpus.pairs == ("", "p")


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"TEXT": ["a", None, "c"], "label": [1, 0, 1]})
    parquet.write_table(table, tmp_path / "a.parquet")
    corpus = read_corpus(tmp_path / "a.parquet")
    assert (corpus.texts, corpus.labels, corpus.rows) == (("a", "c"), ("1", "1"), (0, 2))
    assert corpus.dropped_empty == 1
    with pytest.raises(DataError, match="Parquet"):
        read_corpus(write(tmp_path, "b.parquet", b"PAR1 no parquet"))


def test_empty_rows_are_dropped_and_counted_or_kept(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\na,1\n  ,1\nb,0\n")
    corpus = read_corpus(path)
    assert (corpus.texts, corpus.rows, corpus.dropped_empty) == (("a", "b"), (0, 2), 1)
    assert read_corpus(path, keep_empty=True).texts == ("a", "  ", "b")


def test_the_digest_is_of_the_content_not_of_the_format(tmp_path: Path) -> None:
    first = read_corpus(write(tmp_path, "a.csv", "text,label\na,1\nb,0\n"))
    second = read_corpus(write(tmp_path, "b.tsv", "a\t1\nb\t0\n"))
    assert first.digest == second.digest
    assert first.select([0]).digest != first.digest
    assert first.select([1]).rows == (1,)


def test_a_text_of_a_million_characters_is_read(tmp_path: Path) -> None:
    long = "字" * 1_000_000
    for name, body in {"a.csv": f"text,label\n{long},1\n", "a.tsv": f"{long}\t1\n"}.items():
        assert read_corpus(write(tmp_path, name, body)).texts == (long,)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="is empty"):
        read_corpus(write(tmp_path, name, ""))


@pytest.mark.parametrize("body", ["text,label\n", "text,label\n ,1\n"])
def test_a_file_without_a_text_is_refused(tmp_path: Path, body: str) -> None:
    with pytest.raises(DataError, match="no row with text"):
        read_corpus(write(tmp_path, "a.csv", body))


def test_a_missing_column_lists_those_found(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "body,label\na,1\n")
    with pytest.raises(DataError, match=r"no column 'text'.*columns 'body', 'label'"):
        read_corpus(path)
    with pytest.raises(DataError, match="no column 'kind'"):
        read_corpus(path, text_column="body", label_column="kind")
    bare = write(tmp_path, "b.csv", "text\na\n")
    assert read_corpus(bare, need_labels=False).labels is None
    with pytest.raises(DataError, match="no column 'label'"):
        read_corpus(bare)


def test_columns_alike_but_for_case_are_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "TEXT,Text,label\na,b,1\n")
    with pytest.raises(DataError, match="no column 'text'"):
        read_corpus(path)
    assert read_corpus(path, text_column="TEXT").texts == ("a",)


def test_bytes_that_are_not_utf_8_name_offset_and_record(tmp_path: Path) -> None:
    body = b'text,label\n"two\nlines",1\nok,0\n\xb0\xa1,1\n'
    with pytest.raises(DataError, match=r"offset 30 .line 5, record 4") as caught:
        read_corpus(write(tmp_path, "a.csv", body))
    assert body[30] == 0xB0
    assert "0xb0" in str(caught.value)
    with pytest.raises(DataError, match="offset 4"):
        read_corpus(write(tmp_path, "a.tsv", b"a\t1\n\xff\t0\n"))


@pytest.mark.parametrize(
    ("name", "body", "match"),
    [
        ("a.csv", 'text,label\n"open,1\n', "quoting"),
        ("a.csv", "text,label\na,b,1\n", "row 0 .* more fields"),
        ("a.csv", "text,text,label\na,b,1\n", "twice"),
        ("a.csv", "text,label\na,1\nb,\n", "row 1 .* no label"),
        ("a.csv", "text,label\na,1\nb\n", "row 1 .* no label"),
        ("a.tsv", "a\t1\nb\n", "row 1 "),
        ("a.jsonl", '{"text": "a", "label": 1}\n[1]\n', "line 2 .* not a JSON object"),
        ("a.jsonl", '{"text": "a"\n', "line 1 .* not JSON"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, name: str, body: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        read_corpus(write(tmp_path, name, body))


def test_a_wrong_path_or_suffix_is_the_users(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_corpus(tmp_path / "none.csv")
    with pytest.raises(UserError, match="not known"):
        read_corpus(write(tmp_path, "a.xlsx", "x"))


def test_parts_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="differ in length"):
        Corpus(texts=("a", "b"), labels=("1",))


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
def test_real_files_are_read_whole() -> None:
    cold = read_corpus(DATA / "coldataset" / "dev.csv")
    assert (len(cold), set(cold.labels or ())) == (6431, {"0", "1"})
    sst2 = read_corpus(DATA / "sst2" / "dev.tsv")
    assert (len(sst2), set(sst2.labels or ())) == (872, {"0", "1"})
    titles = read_corpus(DATA / "thucnews_titles" / "dev.txt")
    assert (len(titles), len(set(titles.labels or ()))) == (10_000, 10)
