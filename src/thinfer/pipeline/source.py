"""Where the states after the dense one come from: a ladder of widths, or a search in rungs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.cutter import Cutter
from thinfer.pipeline.explore import Explorer, explore_states
from thinfer.pipeline.job import Job
from thinfer.pipeline.latency import LatencyTable
from thinfer.pipeline.narrow import narrow_states
from thinfer.pipeline.states import StateTrial
from thinfer.pipeline.students import student_states

__all__ = ["list_states"]


def list_states(
    job: Job,
    dense: StateTrial,
    priced: Candidate,
    *,
    table: LatencyTable | None,
    left: Callable[[], float],
    is_cleared: Callable[[str], bool],
    dropped: dict[str, dict[str, Any]],
) -> Iterator[StateTrial]:
    """Give the states of a run, one when the one before has been made into its forms.

    Args:
        job: the run.
        dense: the dense state, tried.
        priced: the form of it that speed-ups are measured against.
        table: prices of widths in that form; counted work when absent.
        left: seconds that the search may still use.
        is_cleared: whether a form of the state of that name has cleared the floors.
        dropped: rows of what a search did not make into forms are added here, by name.

    Yields:
        With time given and nothing named, the best student and the finalists of brackets; else
        one state a width or speed-up.
    """
    if not job.is_explored:
        yield from narrow_states(job, priced, table, is_cleared)
        return
    cutter = Cutter(job, priced, table, lambda learned: None)
    yield from student_states(job, dense, table, left, dropped)
    explorer = Explorer(job, dense, cutter, table)
    yield from explore_states(job, explorer, left, is_cleared, dropped)
