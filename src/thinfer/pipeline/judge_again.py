"""A bundle judged again on its own test set, with another engine's answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle import LAYOUT, Bundle, open_bundle
from thinfer.core.codec import to_json
from thinfer.errors import DataError
from thinfer.pipeline.answered import list_slices
from thinfer.pipeline.data import LabelledSet, label_corpus
from thinfer.pipeline.evidence import EvidenceFile, digest_answers
from thinfer.pipeline.judge import describe_floor
from thinfer.pipeline.judgements import log_judgement
from thinfer.pipeline.per_class import describe_calibration, describe_classes
from thinfer.pipeline.reproof import renew_evidence
from thinfer.quality.floor import parse_floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.metrics import measure_quality
from thinfer.quality.proof import judge_floors
from thinfer.quality.verdict import overall
from thinfer.text.corpus import Corpus

__all__ = ["JudgedSet", "Rejudgement", "judge_again", "list_slice_columns", "match_test"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedSet:
    """The rows that a bundle was judged on, and what its original answered.

    Attributes:
        report: what `compress` said of the bundle.
        part: the rows of the test file.
        before: int64 `[rows]`, the original's answers.
    """

    report: Mapping[str, Any]
    part: LabelledSet
    before: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rejudgement:
    """What the test set says now.

    Attributes:
        verdict: of all floors together.
        result: `verdict`, `floors`, `metrics`, `classes`, `calibration`, `n`, `test_digest`,
            `has_evidence`, `test_use` and `warnings` of the JSON.
        entry: the line for the log of judgements.
        evidence: the rows behind it; None where the bundle was judged before there was any.
    """

    verdict: str
    result: Mapping[str, Any]
    entry: Mapping[str, Any]
    evidence: EvidenceFile | None


def list_slice_columns(bundle: Path) -> tuple[str, ...]:
    """Give the columns of the test file that the floors of a bundle look at.

    Args:
        bundle: its path.
    """
    opened = open_bundle(bundle)
    labels = opened.manifest.label_set
    floors = [parse_floor(expr, labels) for expr in opened.manifest.quality.get("floors", ())]
    return tuple(dict.fromkeys(floor.slice[0] for floor in floors if floor.slice is not None))


def match_test(bundle: Bundle, corpus: Corpus, labels: LabelSet) -> JudgedSet:
    """Give the judged rows of the test file and the original's answers to them.

    Args:
        bundle: opened.
        corpus: the test file.
        labels: the classes.

    Raises:
        DataError: the bundle was never judged, or on another file.
    """
    place = bundle.path / LAYOUT.report
    report = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    if "answers" not in report:
        what = "the bundle carries no answers of the original to compare with"
        raise DataError(what, expected="a bundle that `thinfer compress` wrote", got="a packed one")
    stored = report["answers"]
    places = {row: index for index, row in enumerate(corpus.rows)}
    rows = [places[row] for row in stored["rows"] if row in places]
    chosen = corpus.select(rows)
    if len(rows) != len(stored["rows"]) or chosen.digest != stored["test_digest"]:
        what = f"'{corpus.name}' is not the test file that the bundle was judged on"
        expected = f"digest {stored['test_digest'][:12]} of {len(stored['rows'])} rows"
        raise DataError(what, expected=expected, got=f"{chosen.digest[:12]} of {len(rows)} rows")
    before = np.asarray(stored["original"], dtype=np.int64)
    return JudgedSet(report=report, part=label_corpus(chosen, labels), before=before)


def judge_again(
    bundle: Bundle,
    judged: JudgedSet,
    logits: NDArray[np.float32],
    *,
    name: str,
    seed: int,
    log: Path | None,
) -> Rejudgement:
    """Judge every floor of a bundle on answers of another engine.

    Args:
        bundle: opened.
        judged: its test set.
        logits: float32 `[rows, classes]`, of the engine.
        name: of the candidate, for the log.
        seed: of resampling.
        log: where judgements are remembered between runs; None = nowhere.
    """
    decider, part, before = bundle.manifest.decider(), judged.part, judged.before
    labels, columns = decider.labels, part.corpus.columns
    answers = decider.answer(logits)
    floors = [parse_floor(body["expr"], labels) for body in judged.report["floors"]]
    rows = {"truth": part.truth, "original": before, "candidate": answers}
    verdicts = judge_floors(floors, **rows, labels=labels, seed=seed, columns=columns)
    told = [describe_floor(floor, item) for floor, item in zip(floors, verdicts, strict=True)]
    verdict = overall(verdicts)
    evidence = renew_evidence(bundle, logits, floors=told, seed=seed)
    entry = {
        "test_digest": part.corpus.digest,
        "n": len(part),
        "candidate": name,
        "verdict": verdict,
        "floors": [floor.expr for floor in floors],
        "answers": digest_answers(answers),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": "tune",
    }
    use = log_judgement(log, entry, known=bundle.manifest.quality.get("judgements", ()))
    result = {
        "verdict": verdict,
        "floors": told,
        "metrics": to_json(measure_quality(part.truth, answers, labels)),
        "classes": describe_classes(
            truth=part.truth,
            original=before,
            chosen=answers,
            labels=labels,
            floors=floors,
            slices=list_slices(columns, floors),
        ),
        "calibration": {
            "original": judged.report.get("calibration", {}).get("original"),
            "chosen": describe_calibration(decider.adjust(logits), part.truth, labels=labels),
        },
        "n": len(part),
        "test_digest": part.corpus.digest,
        "has_evidence": evidence is not None,
        "test_use": use.to_json(),
        "warnings": list(use.warnings),
    }
    return Rejudgement(verdict=verdict, result=result, entry=entry, evidence=evidence)
