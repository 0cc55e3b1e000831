"""The judgement: the chosen candidate alone, once, on rows that took no part in the choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from thinfer.core.codec import to_json
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.job import Answers, Job
from thinfer.pipeline.operate import decider_of
from thinfer.quality.floor import Floor
from thinfer.quality.operating import Decider
from thinfer.quality.subject import judge_subject
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
        entry: the line for the log of judgements.
        warnings: what the reader should know of the floors.
    """

    verdict: str
    floors: tuple[Mapping[str, Any], ...]
    original: Answers
    chosen: Answers
    deciders: tuple[Decider, Decider]
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
    answers = []
    deciders = (job.decider, decider_of(job, chosen))
    with job.progress.task("judging on test", 2) as advance:
        for candidate, decider in zip((original, chosen), deciders, strict=True):
            runner = candidate.open(job.threads)
            answers.append(decider.answer(runner.run_set(job.sets.test)))
            runner.close()
            advance(1)
    before, after = answers
    verdicts = [
        judge_subject(
            floor,
            truth=job.sets.test.truth,
            original=before,
            candidate=after,
            labels=job.labels,
            columns=job.sets.test.corpus.columns,
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
        deciders=deciders,
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
