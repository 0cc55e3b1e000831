from __future__ import annotations

from pathlib import Path

import pytest

from thinfer.errors import DataError
from thinfer.pipeline.audit_labels import read_labels
from thinfer.quality.labels import LabelSet

LABELS = LabelSet(("normal", "spam"), "normal")
IDS = ("a1", "b2", "c3")


def write(folder: Path, text: str, name: str = "labelled.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,label\na1,spam\nb2,normal\nc3,spam\n", [1, 0, 1]),
        ("\ufeffid,text,label,who\nc3,x,spam,me\na1,y, normal ,you\n", [0, -1, 1]),
        ("ID,Label\nb2,\nc3,  \n", [-1, -1, -1]),
        ("id,label\n", [-1, -1, -1]),
    ],
)
def test_labels_in_any_order_and_some_missing(
    tmp_path: Path, text: str, expected: list[int]
) -> None:
    assert read_labels(write(tmp_path, text), IDS, LABELS).tolist() == expected


def test_other_formats_are_read(tmp_path: Path) -> None:
    lines = '{"id": "b2", "label": "spam"}\n{"id": "a1", "label": null}\n'
    assert read_labels(write(tmp_path, lines, "l.jsonl"), IDS, LABELS).tolist() == [-1, 1, -1]
    tabs = "id\tlabel\na1\tspam\n"
    assert read_labels(write(tmp_path, tabs, "l.tsv"), IDS, LABELS).tolist() == [1, -1, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\na1,spam\nzz,spam\n", "1 other ids, the first 'zz'"),
        ("id,label\na1,spam\na1,spam\n", "more than once"),
        ("id,label\na1,spam\nb2,ham\n", "'ham' is first in data row 1"),
        ("id,answer\na1,spam\n", "no column 'label'"),
        ("text,label\na1,spam\n", "no column 'id'"),
    ],
)
def test_a_file_that_does_not_match_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labels(write(tmp_path, text), IDS, LABELS)
