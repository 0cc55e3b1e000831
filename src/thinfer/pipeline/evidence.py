"""`evidence.parquet`: what a verdict rests on, row by row, without any text.

One row a judged row of the test file, in the file's order. Columns: `row` (int64, number of the
data row, from 0), `truth`, `original`, `chosen` (label names), `original_logits`, `chosen_logits`
(lists of float32, in the order of the labels). The file's metadata holds, under the key
`thinfer.evidence`, an `EvidenceHead` as JSON. Readers leave columns that they do not know alone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from thinfer.core.codec import from_json, to_json
from thinfer.core.digest import sha256_bytes
from thinfer.core.optional import require
from thinfer.errors import DataError
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import Decider, OperatingPoint
from thinfer.text.label_sets import format_label_set

__all__ = [
    "EvidenceFile",
    "EvidenceHead",
    "decode_evidence",
    "digest_answers",
    "encode_evidence",
]

Classes = NDArray[np.int64]
Logits = NDArray[np.float32]

_KEY = b"thinfer.evidence"
_NAMES = ("truth", "original", "chosen")
_COLUMN = "column."
_SCORES = ("original_logits", "chosen_logits")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceHead:
    """What the rows were judged by.

    Attributes:
        labels: names of the classes, in the order of the logits.
        normal_label: the label that is no finding, if there is one.
        floors: expressions.
        seed: of the resampling.
        test_digest: of the judged rows (`Corpus.digest`).
        is_multi_label: an answer is a set of labels; the columns hold JSON lists of names.
        original_point: how the original's logits are read.
        chosen_point: how the judged candidate's are.
    """

    KIND: ClassVar[str] = "thinfer.evidence"
    VERSION: ClassVar[int] = 1

    labels: tuple[str, ...]
    normal_label: str | None
    floors: tuple[str, ...]
    seed: int
    test_digest: str
    is_multi_label: bool = False
    original_point: OperatingPoint = field(default_factory=OperatingPoint)
    chosen_point: OperatingPoint = field(default_factory=OperatingPoint)

    @property
    def label_set(self) -> LabelSet:
        """The classes."""
        return LabelSet(self.labels, normal=self.normal_label, is_multi_label=self.is_multi_label)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvidenceFile:
    """What a verdict rests on.

    Attributes:
        head: floors, labels, seed, test set.
        rows: int64 `[rows]`, numbers of the rows in the test file.
        truth: int64 `[rows]`, classes.
        original: int64 `[rows]`, the original's answers.
        chosen: int64 `[rows]`, the judged candidate's answers.
        original_logits: float32 `[rows, classes]`.
        chosen_logits: float32 `[rows, classes]`.
        columns: further columns of the test file that the judgement used, name → a string a row;
            in the file they are named `column.NAME`.
    """

    head: EvidenceHead
    rows: Classes
    truth: Classes
    original: Classes
    chosen: Classes
    original_logits: Logits
    chosen_logits: Logits
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def labels(self) -> LabelSet:
        """The classes."""
        return self.head.label_set

    @property
    def deciders(self) -> tuple[Decider, Decider]:
        """How the logits of the original and of the candidate are read."""
        head = self.head
        return Decider(self.labels, head.original_point), Decider(self.labels, head.chosen_point)

    def meant(self, side: Literal["original", "chosen"]) -> Classes:
        """Give the answers that stored logits mean, int64 `[rows]`.

        Args:
            side: whose.
        """
        before, after = self.deciders
        if side == "original":
            return before.answer(self.original_logits)
        return after.answer(self.chosen_logits)


def digest_answers(answers: Classes) -> str:
    """Give a name of what was judged: 16 hex digits that change with any answer.

    Args:
        answers: int64 `[rows]`.
    """
    return sha256_bytes(answers.astype("<i8").tobytes())[:16]


def encode_evidence(evidence: EvidenceFile) -> bytes:
    """Give the bytes of the file; the same evidence gives the same bytes.

    Args:
        evidence: what to write.

    Raises:
        EngineError: pyarrow is not installed.
    """
    arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
    columns: dict[str, Any] = {"row": arrow.array(evidence.rows, type=arrow.int64())}
    for column in _NAMES:
        told = _tell(getattr(evidence, column), evidence.labels)
        columns[column] = arrow.array(told, type=arrow.string())
    for name, values in evidence.columns.items():
        columns[_COLUMN + name] = arrow.array(values, type=arrow.string())
    for column in _SCORES:
        scores = getattr(evidence, column)  # [rows, classes]
        flat = arrow.array(scores.reshape(-1), type=arrow.float32())
        starts = np.arange(len(scores) + 1, dtype=np.int32) * scores.shape[1]
        columns[column] = arrow.ListArray.from_arrays(arrow.array(starts), flat)
    head = json.dumps(to_json(evidence.head), ensure_ascii=False, sort_keys=True)
    table = arrow.table(columns).replace_schema_metadata({_KEY: head.encode()})
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def decode_evidence(raw: bytes) -> EvidenceFile:
    """Read the bytes of the file.

    Args:
        raw: of `evidence.parquet`.

    Returns:
        The evidence; its parts fit together.

    Raises:
        DataError: it is no such file, a column is missing, or its parts do not fit together.
        EngineError: pyarrow is not installed.
    """
    arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
    try:
        table = parquet.read_table(arrow.BufferReader(raw))
        body = json.loads((table.schema.metadata or {}).get(_KEY, b"null"))
    except (OSError, ValueError, arrow.ArrowException) as error:
        what = "the evidence cannot be read"
        raise DataError(what, expected="a Parquet file", got=str(error)[:200]) from error
    head = from_json(EvidenceHead, body)
    wanted = ("row", *_NAMES, *_SCORES)
    missing = [name for name in wanted if name not in table.column_names]
    if missing or not table.num_rows:
        what = "the evidence lacks what a judgement needs"
        got = f"{table.num_rows} rows, columns {table.column_names}"
        raise DataError(what, expected=f"columns {list(wanted)} and a row", got=got)
    labels = head.label_set
    lists = {name: table.column(name).to_pylist() for name in wanted}
    codes = {name: _read_answers(_checked(lists[name], str, name), labels) for name in _NAMES}
    scores = {name: _read_scores(lists[name], name, len(labels)) for name in _SCORES}
    return EvidenceFile(
        head=head,
        rows=np.asarray(_checked(lists["row"], int, "row"), dtype=np.int64),
        truth=codes["truth"],
        original=codes["original"],
        chosen=codes["chosen"],
        original_logits=scores["original_logits"],
        chosen_logits=scores["chosen_logits"],
        columns={
            name.removeprefix(_COLUMN): _checked(table.column(name).to_pylist(), str, name)
            for name in table.column_names
            if name.startswith(_COLUMN)
        },
    )


def _tell(codes: Classes, labels: LabelSet) -> list[str]:
    held = labels.members(codes)
    if not labels.is_multi_label:
        return [labels.names[code] for code in codes.tolist()]
    return [format_label_set(compress(labels.names, row)) for row in held.tolist()]


def _read_answers(told: Sequence[str], labels: LabelSet) -> Classes:
    """The inverse of `_tell`: labels match exactly, whatever they look like."""
    if labels.is_multi_label:
        return labels.align(told)
    unknown = sorted(set(told) - set(labels.names))
    if unknown:
        what = f"an answer of the evidence is no label: {unknown[0]!r}"
        raise DataError(what, expected=f"one of {list(labels.names)}")
    return np.asarray([labels.index(name) for name in told], dtype=np.int64)


def _checked(values: Sequence[Any], kind: type, name: str) -> Any:  # noqa: ANN401 - a list of that kind
    if not all(isinstance(value, kind) for value in values):
        what = f"the column '{name}' of the evidence is not what it should be"
        raise DataError(what, expected=f"{kind.__name__} in every row")
    return values


def _read_scores(lists: Sequence[Any], name: str, classes: int) -> Logits:
    good = all(isinstance(item, list) and len(item) == classes for item in lists)
    if not good or any(value is None for item in lists for value in item):
        what = f"the column '{name}' of the evidence is not what it should be"
        raise DataError(what, expected=f"{classes} numbers in every row")
    try:
        return np.asarray(lists, dtype=np.float32)
    except (TypeError, ValueError) as error:
        what = f"the column '{name}' of the evidence holds no numbers"
        raise DataError(what, got=str(error)[:100]) from error
