"""Whether `dev` can tell apart what the floors ask about; where not, the choice is partly luck."""

from __future__ import annotations

import math

import numpy as np

from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.job import Job
from thinfer.quality.verdict import estimate

__all__ = ["warn_about_coarse_dev"]


def warn_about_coarse_dev(job: Job, chosen: Candidate) -> list[str]:
    """Say which floors are finer than what `dev` knows of the chosen candidate.

    Among several candidates that `dev` cannot tell apart, the one that is chosen tends to be a
    lucky one: its value on `test` then lies below that on `dev`.

    Args:
        job: the run.
        chosen: it has answered `dev`.

    Returns:
        A sentence for each relative floor whose slack is less than one paired standard error.
    """
    stored = chosen.folder / "dev.npy"
    if not stored.exists():
        return []
    answers = job.answers(np.load(stored, allow_pickle=False))
    warnings = []
    for floor in job.floors:
        known = job.select_rows(floor, answers)
        found = estimate(floor, **known)
        slack = abs(1.0 - floor.bound)
        if found is None or not floor.relative or slack == 0.0 or found.error <= slack:
            continue
        rows = len(known["truth"])
        needed = math.ceil(rows * (found.error / slack) ** 2)
        warnings.append(
            f"dev is small for {floor.expr}: on its {rows:,} rows, what the chosen form keeps is "
            f"known to ±{found.error:.2%} (one standard error), and the floor allows {slack:.2%}. "
            f"The choice among candidates is partly luck; about {needed:,} rows would tell them "
            f"apart."
        )
    return warnings
