from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thinfer.errors import DataError, UserError
from thinfer.pipeline.audit_folder import AuditFacts, AuditFolder
from thinfer.text.stream import TextRow, stream_rows

FACTS = AuditFacts(
    traffic="a" * 64,
    text_column=None,
    original="b" * 64,
    bundle="c" * 64,
    engine=None,
    labels=("normal", "spam"),
    normal_label="normal",
    floors=("flagged_recall>=99%",),
    sample=10,
    most=None,
    seed=0,
)
NASTY = ['say "so"', "one,\ntwo", "a\rb", "", "=1+1", "垃圾 \ud800", "tab\there"]


def test_answers_come_back_up_to_the_first_gap(tmp_path: Path) -> None:
    folder = AuditFolder(tmp_path)
    assert folder.read_answers(2) == []
    first, second = np.asarray([[0, 1, 1], [0, 0, 1]]), np.asarray([[1], [1]])
    folder.write_answers(0, first)
    folder.write_answers(3, second)
    folder.write_answers(9, second)
    parts = folder.read_answers(2)
    assert [part.tolist() for part in parts] == [first.tolist(), second.tolist()]


@pytest.mark.parametrize("part", [[[0, 2], [0, 0]], [[0.0], [1.0]], [[0, 1]], [[-1], [0]]])
def test_damaged_answers_are_refused(tmp_path: Path, part: list[list[int]]) -> None:
    folder = AuditFolder(tmp_path)
    folder.write_answers(0, np.asarray(part))
    with pytest.raises(DataError, match="damaged"):
        folder.read_answers(2)


def test_a_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    folder = AuditFolder(tmp_path)
    folder.write_answers(0, np.zeros((2, 50), dtype=np.int64))
    (piece,) = (tmp_path / "answers").iterdir()
    piece.write_bytes(piece.read_bytes()[:200])
    with pytest.raises(DataError, match="damaged"):
        folder.read_answers(2)


def test_an_audit_is_begun_once_and_gone_on_with_by_the_same_command(tmp_path: Path) -> None:
    folder = AuditFolder(tmp_path)
    with pytest.raises(UserError, match="holds no audit"):
        folder.read_facts()
    assert folder.begin(FACTS, resume=True) == FACTS
    with pytest.raises(UserError, match="holds an audit already"):
        folder.begin(FACTS, resume=False)
    known = folder.set_rows(FACTS, 50)
    assert folder.begin(FACTS, resume=True) == known
    with pytest.raises(UserError, match="another bundle, seed"):
        folder.begin(replace(FACTS, bundle="d" * 64, seed=1), resume=True)
    (tmp_path / "audit.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        folder.read_facts()


@pytest.mark.parametrize("has_pairs", [False, True])
def test_every_text_in_the_sheet_can_be_read_again(tmp_path: Path, has_pairs: bool) -> None:
    folder = AuditFolder(tmp_path)
    rows = [
        TextRow(row=at, text=text, pair=text[::-1] if has_pairs else None)
        for at, text in enumerate(["left out", *NASTY])
    ]
    facts = replace(FACTS, rows=len(rows))
    key = {"rows": [{"id": f"i{at}", "row": at} for at in range(len(NASTY), 0, -1)]}
    folder.write_sheet(facts, key, iter(rows))
    with folder.sheet.open(encoding="utf-8-sig", newline="") as stream:
        found = {row["id"]: row for row in csv.DictReader(stream)}
    assert list(found) == [row["id"] for row in key["rows"]]
    for at, text in enumerate(NASTY, start=1):
        shown = text.encode("utf-8", errors="backslashreplace").decode()
        assert found[f"i{at}"]["text"] == shown
        assert found[f"i{at}"]["label"] == ""
        assert ("text_pair" in found[f"i{at}"]) == has_pairs
    assert [row.text for row in stream_rows(folder.sheet)][::-1][1] == "one,\ntwo"


def test_a_sheet_of_no_rows_is_a_header(tmp_path: Path) -> None:
    folder = AuditFolder(tmp_path)
    facts = folder.write_sheet(replace(FACTS, rows=1), {"rows": []}, iter([]))
    assert folder.sheet.read_text(encoding="utf-8-sig").strip() == "id,text,label"
    assert folder.read_key(facts) == {"rows": []}
    with pytest.raises(UserError, match="not finished"):
        folder.read_key(FACTS)
