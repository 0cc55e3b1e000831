"""`audit`: does a floor still hold on traffic that nobody has labelled?

Both models answer every row. What may have been lost is bounded without labels where the
original's precision is known; the rows where the two differ go out to be labelled blindly, with a
random sample of those on which they agree, and the labels that come back are judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.core.digest import sha256_file
from thinfer.core.files import lock_folder
from thinfer.core.progress import Progress
from thinfer.errors import DataError, UserError
from thinfer.pipeline.audit_folder import CHUNK_ROWS, AuditFacts, AuditFolder
from thinfer.pipeline.audit_key import judge_key, make_key, report_audit
from thinfer.pipeline.audit_labels import read_labels
from thinfer.pipeline.audit_models import AuditModel, open_model
from thinfer.pipeline.audit_precision import find_precisions
from thinfer.pipeline.audit_request import AuditRequest
from thinfer.quality.audit_verdict import (
    AuditVerdict,
    Precision,
    judge_unlabelled,
    take_verdict,
)
from thinfer.quality.floor import Floor, default_floors, parse_floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.stakes import (
    UNLABELLED,
    AuditDraw,
    Populations,
    Stakes,
    check_auditable,
    draw_rows,
    find_stakes,
    needs_no_labels,
)
from thinfer.quality.verdict import judge
from thinfer.text.stream import stream_rows

__all__ = ["audit"]

Answers = NDArray[np.int64]


def audit(request: AuditRequest, *, progress: Progress) -> dict[str, Any]:
    """Answer the traffic and write what to label; or judge the labels that came back.

    Args:
        request: models, traffic, floors and samples.
        progress: told of the bytes that were read.

    Returns:
        The result as JSON, without any text.
    """
    folder = AuditFolder(request.out)
    if request.labels is not None:
        folder.read_facts()  # a mistyped --out must not make a folder
    with lock_folder(request.out):
        result = (_judge if request.labels is not None else _export)(request, folder, progress)
        folder.write_result(result)
    return result


def _export(request: AuditRequest, folder: AuditFolder, progress: Progress) -> dict[str, Any]:
    traffic = Path(str(request.traffic))
    # Before anything is begun: the first row shows whether the file can be read at all.
    next(stream_rows(traffic, text_column=request.text_column))
    with (
        open_model(str(request.original), beside=request.bundle) as first,
        open_model(str(request.bundle), engine=request.engine, threads=request.threads) as second,
    ):
        facts = _describe(request, first, second)
        labels, floors = _read_floors(facts)
        known = find_precisions(
            floors,
            labels=labels,
            original=first,
            quality=second.quality,
            given=request.precision,
            test=request.test,
            columns=(request.text_column, request.label_column),
        )
        facts = folder.begin(facts, resume=request.resume)
        answers = _answer_all(request, folder, (first, second), progress)
    if not facts.rows:
        facts = folder.set_rows(facts, answers.shape[1])
    stakes = [find_stakes(floor, answers[0], answers[1], labels) for floor in floors]
    draw = _draw(facts, floors, stakes)
    found = [
        _judge_answers(floor, part, answers, labels, precision)
        for floor, part, precision in zip(floors, stakes, known, strict=True)
    ]
    if not facts.key_digest:
        key = make_key(facts, answers, draw, found)
        rows = stream_rows(traffic, text_column=request.text_column)
        facts = folder.write_sheet(facts, key, rows)
    return report_audit(folder, facts, folder.read_key(facts), found, labelled=0)


def _judge(request: AuditRequest, folder: AuditFolder, progress: Progress) -> dict[str, Any]:
    del progress
    facts = folder.read_facts()
    if request.original is not None:
        _require_same(request, folder, facts)
    if request.floors and request.floors != facts.floors:
        what = "the rows that were labelled are those of other floors"
        raise UserError(what, expected=", ".join(facts.floors), got=", ".join(request.floors))
    key = folder.read_key(facts)
    labels, floors = _read_floors(facts)
    truth = read_labels(Path(str(request.labels)), [item["id"] for item in key["rows"]], labels)
    found = judge_key(key, floors, truth, labels)
    return report_audit(folder, facts, key, found, labelled=int((truth != UNLABELLED).sum()))


def _require_same(request: AuditRequest, folder: AuditFolder, found: AuditFacts) -> None:
    """Compare what was given again; options that were left out stand for those of the export."""
    with (
        open_model(str(request.original), beside=request.bundle) as first,
        open_model(str(request.bundle), engine=request.engine, threads=request.threads) as second,
    ):
        facts = _describe(request, first, second)
    folder.require_same(
        found,
        replace(
            facts,
            **{name: getattr(found, name) for name in ("floors", "sample", "most", "seed")},
            text_column=request.text_column or found.text_column,
            engine=request.engine or found.engine,
            normal_label=request.normal_label or found.normal_label,
        ),
    )


def _describe(request: AuditRequest, first: AuditModel, second: AuditModel) -> AuditFacts:
    """Say what is audited.

    Raises:
        DataError: the two do not have the same labels.
    """
    if set(first.labels) != set(second.labels):
        what = "the two models do not have the same labels"
        raise DataError(what, expected=str(sorted(first.labels)), got=str(sorted(second.labels)))
    normal = request.normal_label or second.normal_label or first.normal_label
    labels = LabelSet(first.labels, normal=normal)
    return AuditFacts(
        traffic=sha256_file(Path(str(request.traffic))),
        text_column=request.text_column,
        original=first.digest,
        bundle=second.digest,
        engine=request.engine,
        labels=first.labels,
        normal_label=normal,
        floors=request.floors or tuple(floor.expr for floor in default_floors(labels)),
        sample=request.sample,
        most=request.most,
        seed=request.seed,
    )


def _read_floors(facts: AuditFacts) -> tuple[LabelSet, tuple[Floor, ...]]:
    labels = LabelSet(facts.labels, normal=facts.normal_label)
    floors = tuple(parse_floor(expr, labels) for expr in facts.floors)
    for floor in floors:
        check_auditable(floor)
    return labels, floors


def _answer_all(
    request: AuditRequest,
    folder: AuditFolder,
    models: tuple[AuditModel, AuditModel],
    progress: Progress,
) -> Answers:
    """Give int64 `[2, rows]`, in the original's classes; what is stored is not answered again."""
    traffic = Path(str(request.traffic))
    first, second = models
    order = np.asarray([first.labels.index(label) for label in second.labels], dtype=np.int64)
    parts = folder.read_answers(len(first.labels))
    start = sum(part.shape[1] for part in parts)
    size = traffic.stat().st_size
    with progress.task(f"bytes of {traffic.name}", size) as advance:
        rows = stream_rows(traffic, text_column=request.text_column, advance=advance)
        rows = islice(rows, start, None)
        while chunk := list(islice(rows, CHUNK_ROWS)):
            texts = [row.text for row in chunk]
            pairs = None if chunk[0].pair is None else [row.pair or "" for row in chunk]
            part = np.stack([first.answer(texts, pairs), order[second.answer(texts, pairs)]])
            folder.write_answers(start, part)
            parts.append(part)
            start += len(chunk)
    return np.concatenate(parts, axis=1)


def _draw(facts: AuditFacts, floors: Sequence[Floor], stakes: Sequence[Stakes]) -> AuditDraw:
    """Draw what to label; a floor that needs no labels has no part in it."""
    nothing = np.zeros(facts.rows, dtype=np.bool_)
    none = Stakes(may_lose=nothing, may_gain=nothing, agreed=nothing)
    asked = [
        none if needs_no_labels(floor) else part for floor, part in zip(floors, stakes, strict=True)
    ]
    rng = np.random.default_rng(facts.seed)
    return draw_rows(asked, sample=facts.sample, most=facts.most, rng=rng)


def _judge_answers(
    floor: Floor, stakes: Stakes, answers: Answers, labels: LabelSet, known: Precision | None
) -> AuditVerdict:
    """Judge a floor by the answers alone."""
    populations = Populations.count(stakes)
    if not needs_no_labels(floor):
        return judge_unlabelled(floor, populations, known)
    first, second = answers
    verdict = judge(
        floor,
        truth=first,  # these metrics do not look at it
        original=first,
        candidate=second,
        labels=labels,
        rng=np.random.default_rng(0),
    )
    return take_verdict(verdict, floor, populations)
