"""How much of `--minutes` the end of a run needs, so that the search stops in time for it."""

from __future__ import annotations

from collections.abc import Sequence

from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.job import Job

__all__ = ["estimate_closing", "seconds_left"]

_TEXTS, _SINGLES = 1024, 256  # as many as pipeline/speed.py times
# Passes at about the original's own rate: itself three times over (half as long again for the
# factors), `transformers`, and the FP32 forms in the chain of factors.
_PLAIN_PASSES = 8.0
_CHAIN_PASSES = 3.0  # of the chosen form and one before it, for the factors
_REST_S = 15.0  # the linear model, the bundle, its report


def estimate_closing(job: Job, candidates: Sequence[Candidate]) -> float:
    """Give the seconds from the last candidate to the end: timing, factors, `test`, bundle.

    Args:
        job: the run.
        candidates: what would be timed; their rough throughput on `dev` is known.
    """
    able = [float(item.facts.get("dev_texts_per_second") or 0.0) for item in candidates]
    rates = [rate for rate in able if rate > 0.0]
    if not rates:
        return _REST_S
    rows = len(job.sets.dev)
    texts = 2 * (min(_TEXTS, rows) + min(_SINGLES, rows))  # one pass is not timed
    plain, fastest = 1 / (job.original_rate or min(rates)), 1 / max(rates)
    forms = sum(1 / rate for rate in rates)
    passes = forms + _PLAIN_PASSES * plain + _CHAIN_PASSES * fastest
    return passes * texts + len(job.sets.test) * (plain + fastest) + _REST_S


def seconds_left(job: Job, candidates: Sequence[Candidate]) -> float:
    """Give the seconds that the search may still use; infinity without `--minutes`.

    Args:
        job: the run.
        candidates: what would be timed if it ended now.
    """
    if job.deadline_s is None:
        return float("inf")
    return job.deadline_s - job.clock.monotonic() - estimate_closing(job, candidates)
