"""The end of a run: result as JSON, report page, card, and the bundle with all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thinfer.bundle import LAYOUT, Bundle, open_bundle
from thinfer.core.codec import to_json
from thinfer.errors import DataError
from thinfer.measure.machine import describe_machine
from thinfer.nn.checkpoint import Checkpoint
from thinfer.pipeline.answered import describe_answers
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.card import write_card
from thinfer.pipeline.coarse import warn_about_coarse_dev
from thinfer.pipeline.evidence import encode_evidence
from thinfer.pipeline.finish import BundleParts, assemble_bundle, problem_type_of
from thinfer.pipeline.job import Job
from thinfer.pipeline.judge import Judgement
from thinfer.pipeline.judgements import SetUse, log_judgement
from thinfer.pipeline.operate import describe_point
from thinfer.pipeline.profile import profile_candidate
from thinfer.pipeline.report import render_report
from thinfer.pipeline.yardsticks import (
    Yardsticks,
    describe_yardsticks,
    warn_about_yardsticks,
)
from thinfer.quality.floor import warn_about_floors

__all__ = ["Compression", "Outcome", "publish"]

BEST_SO_FAR = "No candidate holds the quality floor; this is the best so far, and no more."
_TABLES = ("embeddings.word.weight", "embeddings.position.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """What a run ends with.

    Attributes:
        bundle: on disk, whatever the verdict.
        verdict: `holds`, `unproven` or `broken`.
        is_cleared: the chosen candidate clears the floors on `dev`; else it is the least
            compressed one, kept as best so far.
        result: the JSON of `compress --json`.
    """

    bundle: Bundle
    verdict: str
    is_cleared: bool
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What the stages of a run found.

    Attributes:
        original: the model as it was brought, timed.
        chosen: what `dev` chose, timed.
        baseline: `transformers` eager FP32, timed.
        candidates: all that were tried.
        dropped: rows of states that no form was made of.
        factors: what each change contributed.
        judgement: what `test` said.
        yardsticks: cheap models on the same text.
    """

    original: Candidate
    chosen: Candidate
    baseline: Candidate
    candidates: tuple[Candidate, ...]
    dropped: Sequence[Mapping[str, Any]]
    factors: Sequence[Mapping[str, Any]]
    judgement: Judgement
    yardsticks: Yardsticks


def publish(job: Job, checkpoint: Checkpoint, outcome: Outcome, *, seconds: float) -> Compression:
    """Write the bundle of the chosen candidate with its report.

    Args:
        job: the run.
        checkpoint: the model as it was brought.
        outcome: what was found.
        seconds: how long the run took.

    Returns:
        The bundle and the result.
    """
    entry, older = outcome.judgement.entry, _older_judgements(job)
    use = log_judgement(job.request.judgement_log, entry, known=older)
    result = _compose(job, checkpoint, outcome, seconds, use)
    chosen = outcome.chosen
    bundle = assemble_bundle(
        job.request.out,
        BundleParts(
            state=chosen.state,
            spec=chosen.spec,
            folder=chosen.folder,
            normal_label=job.labels.normal,
            problem_type=problem_type_of(checkpoint),
            point=outcome.judgement.deciders[1].point,
            quality={
                "floors": [floor.expr for floor in job.floors],
                "verdicts": result["floors"],
                "verdict": result["verdict"],
                "is_best_so_far": result["is_best_so_far"],
                "n": len(job.sets.test),
                "seed": job.request.seed,
                "metrics": result["chosen"]["metrics"],
                "judgements": result["judgements"],
                "test_use": result["test_use"],
            },
            threads=job.threads,
            seed=job.request.seed,
            documents={
                LAYOUT.profile: profile_candidate(job, chosen),
                LAYOUT.evidence: encode_evidence(outcome.judgement.evidence),
                "report.json": json.dumps(result, ensure_ascii=False, indent=2).encode(),
                "report.html": render_report(result).encode(),
                "README.md": write_card(result).encode(),
            },
        ),
    )
    return Compression(
        bundle=bundle,
        verdict=str(result["verdict"]),
        is_cleared=_is_cleared(chosen),
        result={**result, "version": bundle.version},
    )


def _is_cleared(chosen: Candidate) -> bool:
    return not str(chosen.facts.get("refused") or "").startswith(("on dev", "parity"))


def _compose(
    job: Job, checkpoint: Checkpoint, outcome: Outcome, seconds: float, use: SetUse
) -> dict[str, Any]:
    judgement, sets = outcome.judgement, job.sets
    test = {
        "original": job.measure(sets.test, judgement.original),
        "chosen": job.measure(sets.test, judgement.chosen),
    }
    test["baseline"] = test["original"]  # the same weights, in another engine
    ends = {
        name: {**candidate.facts, "metrics": test[name]}
        for name, candidate in (
            ("original", outcome.original),
            ("chosen", outcome.chosen),
            ("baseline", outcome.baseline),
        )
    }
    is_best_so_far = judgement.verdict == "broken" or not _is_cleared(outcome.chosen)
    for name, decider in zip(("original", "chosen"), judgement.deciders, strict=True):
        ends[name]["operating"] = describe_point(decider)
    ends["chosen"]["steps"] = [to_json(report) for report in outcome.chosen.state.history]
    return {
        "bundle": str(job.request.out),
        "verdict": judgement.verdict,
        "is_best_so_far": is_best_so_far,
        "floors": list(judgement.floors),
        **ends,
        "speedup": outcome.chosen.facts["speedup"],
        "latency_ratio": outcome.chosen.facts["latency_ratio"],
        "candidates": [*(item.facts for item in outcome.candidates), *outcome.dropped],
        "factors": list(outcome.factors),
        **describe_yardsticks(job, outcome.yardsticks),
        "vocabulary": _describe_vocabulary(job, outcome.chosen),
        "data": {**sets.facts, "judgements": len(use.log)},
        "judgements": list(use.log),
        "test_use": use.to_json(),
        "answers": {
            "test_digest": sets.test.corpus.digest,
            "rows": list(sets.test.corpus.rows),
            "original": judgement.original.tolist(),
            "chosen": judgement.chosen.tolist(),
        },
        **describe_answers(
            judgement.evidence,
            sets.test,
            floors=job.floors,
            include_text=job.request.include_text,
        ),
        "warnings": _list_warnings(job, checkpoint, outcome, use, is_best_so_far=is_best_so_far),
        "steps": ends["chosen"]["steps"],
        "command": job.request.command,
        "machine": describe_machine(),
        "threads": job.threads,
        "seed": job.request.seed,
        "seconds": seconds,
    }


def _list_warnings(
    job: Job, checkpoint: Checkpoint, outcome: Outcome, use: SetUse, *, is_best_so_far: bool
) -> list[str]:
    warnings = [BEST_SO_FAR] if is_best_so_far else []
    if str(outcome.chosen.facts.get("refused") or "").startswith("not faster"):
        warnings.append("No candidate was faster than the original on this machine.")
    warnings += [
        *job.sets.warnings,
        *warn_about_coarse_dev(job, outcome.chosen),
        *warn_about_floors(job.floors, job.sets.test.truth, job.labels),
        *warn_about_yardsticks(job, outcome.yardsticks),
        *use.warnings,
    ]
    if checkpoint.leftovers:
        warnings.append(f"weights without a use here: {', '.join(checkpoint.leftovers)}")
    return warnings


def _older_judgements(job: Job) -> list[Mapping[str, Any]]:
    """Give the log of an older bundle at the same place: a test set wears out by use."""
    try:
        return list(open_bundle(job.request.out).manifest.quality.get("judgements", ()))
    except DataError:
        return []


def _describe_vocabulary(job: Job, chosen: Candidate) -> dict[str, Any]:
    before, after = job.original, chosen.state
    unknown = {}
    for name, state in (("before", before), ("after", after)):
        encoding = job.sets.test.encode(state.tokenizer)
        unknown[name] = float(encoding.unknown.sum() / max(1, len(encoding.batch.ids)))
    sizes = {
        name: sum(state.weights[table].nbytes for table in _TABLES)
        for name, state in (("before", before), ("after", after))
    }
    return {
        "rows": {"before": before.architecture.vocab, "after": after.architecture.vocab},
        "bytes": sizes,
        "unknown_rate": unknown,
    }
