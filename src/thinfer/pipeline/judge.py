"""The judgement: the chosen candidate alone, once, on rows that took no part in the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from thinfer.core.codec import to_json
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.evidence import EvidenceFile, EvidenceHead, digest_answers
from thinfer.pipeline.job import Answers, Job
from thinfer.pipeline.operate import decider_of
from thinfer.quality.floor import Floor
from thinfer.quality.operating import Decider
from thinfer.quality.proof import judge_floors
from thinfer.quality.verdict import Verdict, overall

__all__ = ["Judgement", "describe_floor", "judge_on_test"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """What `test` said.

    Attributes:
        verdict: of all floors together: `holds`, `unproven` or `broken`.
        floors: each floor with its verdict, as JSON.
        original: int64 `[test rows]`, the original's answers.
        chosen: int64 `[test rows]`, the chosen candidate's answers.
        deciders: how the original and the chosen candidate answer.
        evidence: the rows that the verdicts rest on.
        entry: the line for the log of judgements.
    """

    verdict: str
    floors: tuple[Mapping[str, Any], ...]
    original: Answers
    chosen: Answers
    deciders: tuple[Decider, Decider]
    evidence: EvidenceFile
    entry: Mapping[str, Any]


def judge_on_test(job: Job, original: Candidate, chosen: Candidate) -> Judgement:
    """Judge every floor on `test`.

    Args:
        job: the run.
        original: the model as it was brought.
        chosen: the candidate that `dev` chose.

    Returns:
        The verdicts, and the answers that they rest on.
    """
    deciders = (job.decider, decider_of(job, chosen))
    evidence = _collect(job, (original, chosen), deciders)
    verdicts = judge_floors(
        job.floors,
        truth=evidence.truth,
        original=evidence.original,
        candidate=evidence.chosen,
        labels=job.labels,
        columns=evidence.columns,
        seed=evidence.head.seed,
    )
    floors = tuple(
        describe_floor(floor, item) for floor, item in zip(job.floors, verdicts, strict=True)
    )
    verdict = overall(verdicts)
    return Judgement(
        verdict=verdict,
        floors=floors,
        original=evidence.original,
        chosen=evidence.chosen,
        evidence=evidence,
        deciders=deciders,
        entry={
            "test_digest": job.sets.test.corpus.digest,
            "n": len(job.sets.test),
            "candidate": chosen.name,
            "verdict": verdict,
            "floors": [floor.expr for floor in job.floors],
            "answers": digest_answers(evidence.chosen),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "by": "compress",
        },
    )


def _collect(
    job: Job, candidates: Sequence[Candidate], deciders: tuple[Decider, Decider]
) -> EvidenceFile:
    """Let both answer `test`."""
    test, logits = job.sets.test, []
    with job.progress.task("judging on test", 2) as advance:
        for candidate in candidates:
            runner = candidate.open(job.threads)
            logits.append(runner.run_set(test))
            runner.close()
            advance(1)
    return EvidenceFile(
        head=EvidenceHead(
            labels=job.labels.names,
            normal_label=job.labels.normal,
            floors=tuple(floor.expr for floor in job.floors),
            seed=job.request.seed,
            test_digest=test.corpus.digest,
            is_multi_label=job.labels.is_multi_label,
            original_point=deciders[0].point,
            chosen_point=deciders[1].point,
        ),
        rows=np.asarray(test.corpus.rows, dtype=np.int64),
        truth=test.truth,
        original=deciders[0].answer(logits[0]),
        chosen=deciders[1].answer(logits[1]),
        original_logits=logits[0],
        chosen_logits=logits[1],
        columns=test.corpus.columns,
    )


def describe_floor(floor: Floor, verdict: Verdict) -> dict[str, Any]:
    """Give a floor and its verdict as JSON; what is not finite is null there.

    Args:
        floor: what was demanded.
        verdict: what came of it.
    """
    body = {**to_json(floor), **to_json(verdict)}
    return {key: _finite(value) for key, value in body.items()}


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
