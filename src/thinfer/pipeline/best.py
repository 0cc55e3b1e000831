"""Best so far: a whole bundle in `DIR.work/best`, kept up to date while the search goes on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.choose import Entry, choose
from thinfer.pipeline.finish import BundleParts, assemble_bundle
from thinfer.pipeline.job import Job
from thinfer.pipeline.operate import decider_of
from thinfer.pipeline.speed import entry_of

__all__ = ["keep_best"]


def keep_best(job: Job, candidates: Sequence[Candidate]) -> None:
    """Write the bundle of the best candidate so far, if it is another one than before.

    It was chosen on `dev` with a rough throughput and judged on nothing: its manifest says so.

    Args:
        job: the run.
        candidates: all that were tried so far.
    """
    entries = [_rough_entry(candidate) for candidate in candidates]
    if not any(entry.is_sound for entry in entries):
        return
    name = choose(entries).name
    best = next(candidate for candidate in candidates if candidate.name == name)
    target = job.workspace.folder("best")
    card = f"# Best so far: {name}\n\nThe search was not over; no floor was judged.\n"
    if (target / "README.md").exists() and (target / "README.md").read_text() == card:
        return
    assemble_bundle(
        target,
        BundleParts(
            state=best.state,
            spec=best.spec,
            folder=best.folder,
            normal_label=job.labels.normal,
            problem_type=job.problem_type,
            point=decider_of(job, best).point,
            quality={"floors": [floor.expr for floor in job.floors], "verdicts": [], "n": 0},
            threads=job.threads,
            seed=job.request.seed,
            documents={
                "README.md": card.encode(),
                "report.json": json.dumps(best.facts, indent=2).encode(),
            },
        ),
    )


def _rough_entry(candidate: Candidate) -> Entry:
    """Take the throughput of the run over `dev` for the real one, which comes later."""
    rough = float(candidate.facts.get("dev_texts_per_second") or 0.0)
    return dataclasses.replace(entry_of(candidate.facts), texts_per_second=rough, is_faster=True)
