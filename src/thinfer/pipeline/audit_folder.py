"""The folder of an audit: the only place that texts are written to, and that it goes on from.

audit.json       what is audited: digests of traffic and models, floors, samples
answers/         int64 [2, rows] a file: the original's and the bundle's classes, in the order
                 of the traffic
to_label.csv     id, text, perhaps text_pair, label: for the labellers; shows no side
key.json         which row each id is, what each model said, and all counts; no text
result.json      what was judged last; no text
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from thinfer.core.codec import from_json, to_json
from thinfer.core.digest import sha256_bytes
from thinfer.core.files import write_atomic
from thinfer.errors import DataError, UserError
from thinfer.text.stream import TextRow

__all__ = ["AuditFacts", "AuditFolder"]

Answers = NDArray[np.int64]

CHUNK_ROWS = 1024
_WHAT, _KEY, _SHEET, _RESULT, _ANSWERS = (
    "audit.json",
    "key.json",
    "to_label.csv",
    "result.json",
    "answers",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFacts:
    """What an audit is about; the same on every run that goes on with it.

    Attributes:
        traffic: SHA-256 of the file.
        text_column: of the file; `text` in any case when absent.
        original: digest of the model as it was.
        bundle: content digest of what answers in its place.
        engine: of the bundle; its chosen one when absent.
        labels: classes, in the order of the stored answers.
        normal_label: the one that is no finding.
        floors: expressions.
        sample: agreed rows to label for each floor, at most.
        most: rows that can change a retention to label, at most.
        seed: draws samples and order.
        rows: of the traffic; 0 until all are answered.
        key_digest: SHA-256 of the key; empty until the rows to label are written.
    """

    KIND: ClassVar[str] = "thinfer.audit"
    VERSION: ClassVar[int] = 1

    traffic: str
    text_column: str | None
    original: str
    bundle: str
    engine: str | None
    labels: tuple[str, ...]
    normal_label: str | None
    floors: tuple[str, ...]
    sample: int
    most: int | None
    seed: int
    rows: int = 0
    key_digest: str = ""


class AuditFolder:
    """The files of one audit.

    Args:
        root: the folder; locked by the caller.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def sheet(self) -> Path:
        """The file for the labellers."""
        return self._root / _SHEET

    @property
    def key(self) -> Path:
        """The file that says which row each of its ids is."""
        return self._root / _KEY

    def read_facts(self) -> AuditFacts:
        """Give what the audit is about.

        Raises:
            UserError: no audit was begun here.
            DataError: the file is damaged.
        """
        path = self._root / _WHAT
        if not path.is_file():
            what = f"'{self._root}' holds no audit"
            raise UserError(what, do="run `thinfer audit ORIGINAL BUNDLE --traffic F` first")
        return from_json(AuditFacts, _parse(path.read_bytes(), path))

    def begin(self, facts: AuditFacts, *, resume: bool) -> AuditFacts:
        """Begin an audit, or go on with the one that is here.

        Args:
            facts: what is to be audited.
            resume: whether to go on.

        Returns:
            The facts, with what is known from earlier.

        Raises:
            UserError: there is one already and `resume` was not asked for, or it is of other
                models, traffic or options.
        """
        if not (self._root / _WHAT).exists():
            self._write(facts)
            return facts
        if not resume:
            what = f"'{self._root}' holds an audit already, perhaps with labels"
            raise UserError(
                what, do="go on with it (--resume, or --labels FILE), or name another --out"
            )
        found = self.read_facts()
        self.require_same(found, facts)
        return found

    def require_same(self, found: AuditFacts, facts: AuditFacts) -> None:
        """Let pass facts that are those of the folder.

        Args:
            found: those of the folder.
            facts: those of the command.

        Raises:
            UserError: names what differs.
        """
        mine, other = to_json(replace(found, rows=0, key_digest="")), to_json(facts)
        differing = [name for name in mine if mine[name] != other[name]]
        if differing:
            what = f"'{self._root}' holds the audit of another command"
            raise UserError(
                what,
                expected="the same models, traffic, floors and options",
                got=f"another {', '.join(differing)}",
                do="repeat the first command, or name another --out",
            )

    def read_answers(self, classes: int) -> list[Answers]:
        """Give what was answered already, each int64 `[2, rows]`, up to the first gap.

        Args:
            classes: answers are below it.

        Raises:
            DataError: a file is damaged.
        """
        parts: list[Answers] = []
        start = 0
        while (path := self._piece(start)).is_file():
            try:
                part = np.load(path, allow_pickle=False)
            except (ValueError, OSError, EOFError) as error:
                what = f"'{path}' is damaged"
                raise DataError(what, do="remove it; --resume answers its rows again") from error
            is_whole = part.dtype == np.int64 and part.ndim == 2 and part.shape[0] == 2
            if not is_whole or not part.size or part.min() < 0 or part.max() >= classes:
                what = f"'{path}' is damaged"
                raise DataError(what, expected=f"int64 [2, rows] below {classes}")
            parts.append(part)
            start += part.shape[1]
        return parts

    def write_answers(self, start: int, part: Answers) -> None:
        """Store the answers of consecutive rows.

        Args:
            start: the first row.
            part: int64 `[2, rows]`.
        """
        buffer = io.BytesIO()
        np.save(buffer, part, allow_pickle=False)
        (self._root / _ANSWERS).mkdir(exist_ok=True)
        write_atomic(self._piece(start), buffer.getvalue())

    def write_sheet(
        self,
        facts: AuditFacts,
        key: Mapping[str, Any],
        rows: Iterator[TextRow],
    ) -> AuditFacts:
        """Write the key and the file to label; the order of the key is that of the file.

        Args:
            facts: of the audit, with its rows.
            key: `rows[]` has `id` and `row`; all that a judgement needs besides labels.
            rows: the traffic.

        Returns:
            The facts, with the digest of the key.
        """
        places = {item["row"]: at for at, item in enumerate(key["rows"])}
        texts: list[TextRow | None] = [None] * len(places)
        for row in islice(rows, facts.rows):
            if row.row in places:
                texts[places[row.row]] = row
        chosen = [row for row in texts if row is not None]
        raw = f"{json.dumps(to_json(key), ensure_ascii=False, indent=1)}\n".encode()
        write_atomic(self.sheet, _encode_sheet([item["id"] for item in key["rows"]], chosen))
        write_atomic(self.key, raw)
        known = replace(facts, key_digest=sha256_bytes(raw))
        self._write(known)
        return known

    def read_key(self, facts: AuditFacts) -> Mapping[str, Any]:
        """Give the key.

        Args:
            facts: of the audit.

        Raises:
            UserError: nothing was given out to be labelled yet.
            DataError: it is absent, or not the one that was written.
        """
        if not facts.key_digest:
            what = f"the audit in '{self._root}' is not finished"
            raise UserError(what, do="run it again with --resume")
        if not self.key.is_file():
            what = f"the key '{self.key}' is absent"
            raise DataError(what, do="put the file back; labels mean nothing without it")
        raw = self.key.read_bytes()
        if sha256_bytes(raw) != facts.key_digest:
            what = f"the key '{self.key}' is not the one that was written"
            raise DataError(
                what,
                expected=f"SHA-256 {facts.key_digest}",
                got=sha256_bytes(raw),
                do="put the file back as it was",
            )
        found: Mapping[str, Any] = _parse(raw, self.key)
        return found

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Keep what was judged, as JSON."""
        raw = f"{json.dumps(to_json(result), ensure_ascii=False, indent=2)}\n"
        write_atomic(self._root / _RESULT, raw)

    def set_rows(self, facts: AuditFacts, rows: int) -> AuditFacts:
        """Remember how many rows the traffic has, now that all are answered."""
        known = replace(facts, rows=rows)
        self._write(known)
        return known

    def _write(self, facts: AuditFacts) -> None:
        body = json.dumps(to_json(facts), ensure_ascii=False, indent=1)
        write_atomic(self._root / _WHAT, f"{body}\n")

    def _piece(self, start: int) -> Path:
        return self._root / _ANSWERS / f"{start:012d}.npy"


def _encode_sheet(ids: Sequence[str], rows: Sequence[TextRow]) -> bytes:
    """Give RFC 4180 with a byte order mark, without which spreadsheets misread UTF-8."""
    has_pairs = any(row.pair is not None for row in rows)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(["id", "text", *(["text_pair"] if has_pairs else []), "label"])
    for name, row in zip(ids, rows, strict=True):
        writer.writerow([name, row.text, *([row.pair] if has_pairs else []), ""])
    return stream.getvalue().encode("utf-8-sig", errors="backslashreplace")


def _parse(raw: bytes, path: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        what = f"'{path}' is not JSON"
        raise DataError(what, got=str(error), do="put the file back as it was") from error
