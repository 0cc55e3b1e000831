"""A form that the test set can prove is preferred to one that is somewhat faster and unproven."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.job import Job

__all__ = ["prefer_provable"]

# Of the fastest form's throughput: a form that can be proven is worth giving up a quarter of it.
_SHARE = 0.75


def prefer_provable(job: Job, candidates: Sequence[Candidate]) -> None:
    """Refuse forms that the test set would leave unproven, where one that it can prove is near.

    What the test set can prove is foretold from `dev` and the number of its rows alone.

    Args:
        job: the run.
        candidates: timed; `refused` is set in the facts of those that are refused.
    """
    cleared = [item for item in candidates if not item.facts.get("refused")]
    speeds = {item.name: float(item.facts.get("texts_per_second") or 0.0) for item in cleared}
    missed = {item.name: _list_unprovable(job, item) for item in cleared}
    fastest = max(speeds.values(), default=0.0)
    near = [
        item for item in cleared if not missed[item.name] and speeds[item.name] >= _SHARE * fastest
    ]
    if not near:
        return
    best = max(near, key=lambda item: speeds[item.name])
    for item in cleared:
        if missed[item.name]:
            item.facts["refused"] = (
                f"on dev, {', '.join(missed[item.name])} is cleared by too little for "
                f"{len(job.sets.test):,} test rows to prove it, as they can of {best.name}"
            )


def _list_unprovable(job: Job, candidate: Candidate) -> tuple[str, ...]:
    logits = np.load(candidate.folder / "dev.npy", allow_pickle=False)  # of all that cleared
    return job.unprovable_floors(job.answers(logits))
