"""The margin of the best of several: of many states that are tried, the best looking is lucky."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.job import Job
from thinfer.pipeline.quantaware import SUFFIX

__all__ = ["margin_of", "refuse_lucky"]

_NORMAL = NormalDist()


def margin_of(states: int) -> float:
    """Give the paired standard errors by which the best of some pruned states must clear a floor.

    A state exactly at a floor clears it by one standard error in 16 of 100 draws of `dev`. All of
    them together do so no more often when each must clear it by the normal quantile at
    1 - 0.16 / states (Bonferroni).

    Args:
        states: that were tried, 0 or more.

    Returns:
        1 for one state, 1.4 for two, 1.9 for six.
    """
    return _NORMAL.inv_cdf(1.0 - (1.0 - _NORMAL.cdf(1.0)) / max(1, states))


def refuse_lucky(job: Job, pruned: Sequence[Candidate]) -> None:
    """Refuse what clears the floors by one standard error, but not by that of the best of so many.

    Forms of the unpruned model are not among them: they are not chosen for looking best.

    Args:
        job: the run.
        pruned: forms of pruned states, with their answers on `dev` stored; `refused` is set in
            their facts.
    """
    states = len({candidate.form.state.removesuffix(SUFFIX) for candidate in pruned})
    if states < 2:
        return
    margin = margin_of(states)
    for candidate in pruned:
        if candidate.facts["refused"]:
            continue
        answers = np.load(candidate.folder / "dev.npy", allow_pickle=False).argmax(axis=1)
        missed = job.clears_floors(answers, margin_se=margin)
        if missed:
            candidate.facts["refused"] = (
                f"on dev, {', '.join(missed)} is not cleared by {margin:.1f} paired standard "
                f"errors, as the best of {states} pruned states must"
            )
