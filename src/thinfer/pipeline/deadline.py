"""How much of `--minutes` the end of a run needs, so that the search stops in time for it."""

from __future__ import annotations

from collections.abc import Sequence

from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.job import Job

__all__ = ["estimate_closing", "seconds_left"]

_TEXTS, _SINGLES = 1024, 256  # as many as pipeline/speed.py times
_SINGLE = 2.0  # what a text alone costs, in its share of a batch of 32
_PLAIN = 2.0  # transformers and the original, in the slowest form of the dense state
_LINKS = 5  # forms of the chain of factors that are timed besides
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
    texts = 2 * min(_TEXTS, rows) + 2 * _SINGLE * min(_SINGLES, rows)  # one pass is not timed
    slowest, fastest = 1 / min(rates), 1 / max(rates)
    forms = sum(1 / rate for rate in rates) * texts
    plain = 4 * _PLAIN * slowest * texts  # the original three times over, transformers once
    links = _LINKS * slowest * 1.5 * texts
    test = len(job.sets.test) * (_PLAIN * slowest + fastest)
    return forms + plain + links + test + _REST_S


def seconds_left(job: Job, candidates: Sequence[Candidate]) -> float:
    """Give the seconds that the search may still use; infinity without `--minutes`.

    Args:
        job: the run.
        candidates: what would be timed if it ended now.
    """
    if job.deadline_s is None:
        return float("inf")
    return job.deadline_s - job.clock.monotonic() - estimate_closing(job, candidates)
