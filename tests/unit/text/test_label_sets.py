from __future__ import annotations

import json
from pathlib import Path

import pytest

from thinfer.errors import DataError, UserError
from thinfer.text.corpus import read_corpus
from thinfer.text.label_sets import are_label_sets, format_label_set, read_label_set


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("", []),
        ("[]", []),
        ("spam", ["spam"]),
        ("spam|ad|spam", ["ad", "spam"]),
        ("ad|", ["ad"]),
        (" ad", [" ad"]),  # exact: nothing is stripped
        ('["spam", "a|d"]', ["a|d", "spam"]),
        ("[1, 2.0]", ["1", "2"]),
        ("[no list|b", ["[no list", "b"]),
    ],
)
def test_a_cell_is_read_as_a_set(cell: str, names: list[str]) -> None:
    found = read_label_set(cell, "|")
    assert json.loads(found) == names
    assert found == format_label_set(names)
    assert read_label_set(found, ";") == found


@pytest.mark.parametrize("cell", ["[null]", '[["a"]]', '[""]', '[{"a": 1}]'])
def test_what_is_no_name_is_refused(cell: str) -> None:
    with pytest.raises(DataError, match="no name"):
        read_label_set(cell, "|")


def test_lists_say_by_themselves_that_a_row_may_have_several() -> None:
    assert are_label_sets(['["a"]', "[]"])
    assert not are_label_sets(['["a"]', "a"])
    assert not are_label_sets(["[a]"])


def test_every_format_gives_the_same_corpus(tmp_path: Path) -> None:
    rows = [("one", ["b", "a"]), ("two", []), ("three", ["a"])]
    lines = [json.dumps({"text": text, "label": names}) for text, names in rows]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    cells = [f"{text},{'|'.join(names)}" for text, names in rows]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *cells]))
    tabs = [f"{text}\t{';'.join(names)}" for text, names in rows]
    (tmp_path / "a.tsv").write_text("\n".join(tabs))
    found = [
        read_corpus(tmp_path / name, label_separator=separator)
        for name, separator in {"a.jsonl": "|", "a.csv": "|", "a.tsv": ";"}.items()
    ]
    assert found[0].labels == ('["a", "b"]', "[]", '["a"]')
    assert len({corpus.digest for corpus in found}) == 1


def test_no_label_is_not_a_missing_label(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": []}\n{"text": "b"}\n')
    with pytest.raises(DataError, match=r"row 1 .* no label"):
        read_corpus(path, label_separator="|")
    path.write_text('{"text": "a", "label": ["x"]}\n{"text": "b", "label": [null]}\n')
    with pytest.raises(DataError, match="row 1"):
        read_corpus(path, label_separator="|")
    with pytest.raises(UserError, match="separator"):
        read_corpus(path, label_separator="")
