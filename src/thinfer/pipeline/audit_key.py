"""The key of an audit: which row each id is and what both models said of it; judged with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.core.codec import from_json, to_json
from thinfer.core.digest import sha256_bytes
from thinfer.pipeline.audit_folder import AuditFacts, AuditFolder
from thinfer.quality.audit_verdict import AuditVerdict, judge_labelled
from thinfer.quality.floor import Floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.stakes import AuditDraw, count_labels, needs_no_labels

__all__ = ["judge_key", "make_key", "report_audit"]

Answers = NDArray[np.int64]


def make_key(
    facts: AuditFacts, answers: Answers, draw: AuditDraw, found: Sequence[AuditVerdict]
) -> dict[str, Any]:
    """Give all that a judgement needs besides labels; ids are of this audit alone.

    Args:
        facts: of the audit.
        answers: int64 `[2, rows]`, the original's and the bundle's.
        draw: the rows to be labelled.
        found: what is known without labels, of each floor.

    Returns:
        JSON; the order of its rows is that of the file to label.
    """
    about = f"{facts.traffic} {facts.original} {facts.bundle} {facts.seed}"
    rows = [
        {
            "id": sha256_bytes(f"{about} {row}".encode())[:16],
            "row": row,
            "original": facts.labels[answers[0, row]],
            "candidate": facts.labels[answers[1, row]],
            "samples": [bool(part[place]) for part in draw.samples],
        }
        for place, row in enumerate(draw.rows.tolist())
    ]
    return {
        "kind": "thinfer.audit.key",
        "version": 1,
        "rows_total": facts.rows,
        "same_answers": int((answers[0] == answers[1]).sum()),
        "changed": draw.changed,
        "floors": [to_json(item) for item in found],
        "rows": rows,
    }


def judge_key(
    key: Mapping[str, Any], floors: Sequence[Floor], truth: Answers, labels: LabelSet
) -> list[AuditVerdict]:
    """Judge floors by the labels that came back.

    Args:
        key: as it was written.
        floors: those of the audit.
        truth: int64 `[rows of the key]`, or `UNLABELLED`.
        labels: the classes.
    """
    rows = key["rows"]
    sides = [
        np.asarray([labels.index(item[side]) for item in rows], dtype=np.int64)
        for side in ("original", "candidate")
    ]
    verdicts = []
    for place, floor in enumerate(floors):
        known = from_json(AuditVerdict, key["floors"][place])
        if needs_no_labels(floor):
            verdicts.append(known)
            continue
        counts = count_labels(
            floor,
            known.populations,
            answers=(sides[0], sides[1]),
            truth=truth,
            sampled=np.asarray([item["samples"][place] for item in rows], dtype=np.bool_),
            labels=labels,
        )
        verdicts.append(judge_labelled(floor, counts, known.populations))
    return verdicts


def report_audit(
    folder: AuditFolder,
    facts: AuditFacts,
    key: Mapping[str, Any],
    found: Sequence[AuditVerdict],
    *,
    labelled: int,
) -> dict[str, Any]:
    """Give the result of an audit as JSON.

    Args:
        folder: where it lies.
        facts: of the audit.
        key: as it was written.
        found: of each floor.
        labelled: rows whose label is known.
    """
    verdicts = {item.verdict for item in found}
    asked = len(key["rows"])
    agreed = sum(item["original"] == item["candidate"] for item in key["rows"])
    weakest = "unproven" if verdicts - {"holds"} else "holds"
    return {
        "out": str(folder.sheet.parent),
        "verdict": "broken" if "broken" in verdicts else weakest,
        "rows": key["rows_total"],
        "agreement": key["same_answers"] / key["rows_total"],
        "floors": [to_json(item) for item in found],
        "labelling": {
            "sheet": str(folder.sheet),
            "key": str(folder.key),
            "rows": asked,
            "changed": key["changed"],
            "agreed": agreed,
            "labelled": labelled,
            "missing": asked - labelled,
            "share": asked / key["rows_total"],
        },
        "labels": list(facts.labels),
        "normal_label": facts.normal_label,
        "traffic": facts.traffic,
        "original": facts.original,
        "bundle": facts.bundle,
        "seed": facts.seed,
    }
