"""The judgement: the chosen candidate alone, once, on rows that took no part in the choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from thinfer.core.codec import to_json
from thinfer.pipeline.candidate import Candidate, Logits
from thinfer.pipeline.job import Answers, Job
from thinfer.quality.floor import Floor
from thinfer.quality.verdict import Verdict, judge, overall

__all__ = ["Judgement", "describe_floor", "judge_on_test"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """What `test` said.

    Attributes:
        verdict: of all floors together: `holds`, `unproven` or `broken`.
        floors: each floor with its verdict, as JSON.
        original: int64 `[test rows]`, the original's answers.
        chosen: int64 `[test rows]`, the chosen candidate's answers.
        logits: float32 `[test rows, classes]` that these answers were read from, of both.
        entry: the line for the log of judgements.
        warnings: what the reader should know of the floors.
    """

    verdict: str
    floors: tuple[Mapping[str, Any], ...]
    original: Answers
    chosen: Answers
    logits: tuple[Logits, Logits]
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
    logits = []
    with job.progress.task("judging on test", 2) as advance:
        for candidate in (original, chosen):
            runner = candidate.open(job.threads)
            logits.append(runner.run_set(job.sets.test))
            runner.close()
            advance(1)
    before, after = (found.argmax(axis=1) for found in logits)
    verdicts = [
        judge(
            floor,
            truth=job.sets.test.truth,
            original=before,
            candidate=after,
            labels=job.labels,
            rng=job.rng(),
        )
        for floor in job.floors
    ]
    floors = tuple(
        describe_floor(floor, item) for floor, item in zip(job.floors, verdicts, strict=True)
    )
    verdict = overall(verdicts)
    return Judgement(
        verdict=verdict,
        floors=floors,
        original=before,
        chosen=after,
        logits=(logits[0], logits[1]),
        entry={
            "test_digest": job.sets.test.corpus.digest,
            "n": len(job.sets.test),
            "candidate": chosen.name,
            "verdict": verdict,
            "floors": [floor.expr for floor in job.floors],
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "by": "compress",
        },
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
