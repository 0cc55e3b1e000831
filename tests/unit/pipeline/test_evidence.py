"""`evidence.parquet`: what goes in comes out, byte for byte the same, and a bad file is refused."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from thinfer.errors import DataError
from thinfer.pipeline.evidence import (
    EvidenceFile,
    EvidenceHead,
    decode_evidence,
    digest_answers,
    encode_evidence,
)
from thinfer.quality.operating import Decider, OperatingPoint

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

LABELS = ("normal", "spam", "垃圾")


def make(rows: int = 7) -> EvidenceFile:
    rng = np.random.default_rng(rows)
    scores = rng.normal(size=(2, rows, len(LABELS))).astype(np.float32)
    return EvidenceFile(
        head=EvidenceHead(
            labels=LABELS, normal_label="normal", floors=("a>=1%",), seed=5, test_digest="ab"
        ),
        rows=np.arange(rows, dtype=np.int64) * 2,
        truth=rng.integers(0, 3, size=rows),
        original=scores[0].argmax(axis=1),
        chosen=scores[1].argmax(axis=1),
        original_logits=scores[0],
        chosen_logits=scores[1],
    )


@pytest.mark.parametrize("rows", [1, 7, 3000])
def test_what_goes_in_comes_out(rows: int) -> None:
    made = make(rows)
    raw = encode_evidence(made)
    assert raw == encode_evidence(make(rows))
    found = decode_evidence(raw)
    assert found.head == made.head
    for name in ("rows", "truth", "original", "chosen", "original_logits", "chosen_logits"):
        before, after = getattr(made, name), getattr(found, name)
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after, before)


def test_sets_of_labels_and_operating_points_come_back() -> None:
    scores = np.random.default_rng(2).normal(size=(2, 50, 3)).astype(np.float32)
    points = (OperatingPoint(), OperatingPoint(thresholds={"spam": 0.4}, offsets=(0.5, 0.0, 0.1)))
    head = EvidenceHead(
        labels=LABELS,
        normal_label="normal",
        floors=(),
        seed=5,
        test_digest="ab",
        is_multi_label=True,
        original_point=points[0],
        chosen_point=points[1],
    )
    deciders = [Decider(head.label_set, point) for point in points]
    answers = [decider.answer(each) for decider, each in zip(deciders, scores, strict=True)]
    made = EvidenceFile(
        head=head,
        rows=np.arange(50),
        truth=answers[0],
        original=answers[0],
        chosen=answers[1],
        original_logits=scores[0],
        chosen_logits=scores[1],
        columns={"source": ("x", "y") * 25},
    )
    found = decode_evidence(encode_evidence(made))
    assert found.head == head
    np.testing.assert_array_equal(found.chosen, answers[1])
    np.testing.assert_array_equal(found.meant("chosen"), answers[1])
    np.testing.assert_array_equal(found.meant("original"), answers[0])
    assert list(found.columns["source"]) == ["x", "y"] * 25
    assert len(set(answers[1].tolist())) > 3


def test_another_reader_finds_plain_columns_and_the_head() -> None:
    table = parquet.read_table(io.BytesIO(encode_evidence(make())))
    assert table.column_names == [
        "row", "truth", "original", "chosen", "original_logits", "chosen_logits",
    ]  # fmt: skip
    assert set(table.column("truth").to_pylist()) <= set(LABELS)
    head = json.loads(table.schema.metadata[b"thinfer.evidence"])
    assert (head["kind"], head["version"]) == ("thinfer.evidence", 1)
    assert (head["seed"], head["floors"], head["normal_label"]) == (5, ["a>=1%"], "normal")


def rewritten(**columns: Any) -> bytes:  # noqa: ANN401 - a column, or None for none
    table = parquet.read_table(io.BytesIO(encode_evidence(make())))
    for name, values in columns.items():
        if name in table.column_names:
            table = table.drop_columns([name])
        if values is not None:
            table = table.append_column(name, arrow.array(values))
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()


def test_columns_of_the_test_file_go_along() -> None:
    values = ["comment", "post", "", "垃圾", "post", "a", "b"]
    found = decode_evidence(encode_evidence(replace(make(), columns={"source": values})))
    assert found.columns == {"source": values}
    assert decode_evidence(encode_evidence(make())).columns == {}


def test_a_further_column_is_left_alone() -> None:
    found = decode_evidence(rewritten(source=["comment"] * 7))
    np.testing.assert_array_equal(found.chosen, make().chosen)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"truth": None}, "lacks"),
        ({"truth": ["unheard"] * 7}, "is no label"),
        ({"column.source": [1] * 7}, "'column.source'"),
        ({"truth": [None] * 7}, "'truth'"),
        ({"row": ["1"] * 7}, "'row'"),
        ({"chosen_logits": [[1.0, 2.0]] * 7}, "3 numbers"),
        ({"chosen_logits": [[1.0, 2.0, None]] * 7}, "3 numbers"),
        ({"chosen_logits": [["a", "b", "c"]] * 7}, "no numbers"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        decode_evidence(rewritten(**columns))


def test_other_files_are_refused() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        decode_evidence(b"no parquet")
    sink = io.BytesIO()
    parquet.write_table(arrow.table({"row": [1]}), sink)
    with pytest.raises(DataError, match="EvidenceHead"):
        decode_evidence(sink.getvalue())


def test_the_digest_names_the_answers() -> None:
    one, other = np.array([0, 1, 2]), np.array([0, 1, 1])
    assert digest_answers(one) == digest_answers(one.copy())
    assert digest_answers(one) != digest_answers(other)
    assert len(digest_answers(one)) == 16
