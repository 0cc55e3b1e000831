"""Narrower states, one for each width or speed-up of a run, and the table that prices them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from thinfer.engine.pool import choose_parallel
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.cutter import Cutter
from thinfer.pipeline.job import Job
from thinfer.pipeline.latency import LatencyTable, load_table, save_table
from thinfer.pipeline.price import TableRequest, measure_table
from thinfer.pipeline.states import StateTrial, try_state
from thinfer.pipeline.workspace import LATENCY_TABLE

__all__ = ["find_table", "narrow_states"]

# Tried in turn where the user names none: on, while the FP32 form still clears the floor.
_LADDER = tuple(map(Fraction, ("7/8", "3/4", "2/3", "7/12", "1/2", "3/8", "1/4", "1/6")))


def find_table(job: Job, dense: Candidate) -> LatencyTable | None:
    """Give the latency table of a run: the user's, an interrupted run's, or one measured now.

    Args:
        job: the run.
        dense: the fastest form of the dense state; its engine is the one that is measured.

    Returns:
        The table; None where the layers of the model differ, so that counted work must do.
    """
    wanted = job.request.latency_table
    stored = job.workspace.folder(LATENCY_TABLE)
    given = wanted is not None and wanted.exists()
    shape = dense.state.architecture
    if given or (job.request.resume and stored.exists()):
        table = load_table(wanted if given and wanted else stored)
        table.check_fits(shape, threads=job.threads)
    elif any(layer != shape.layers[0] for layer in shape.layers):
        job.progress.note("layers of different shapes: widths are priced by counted work")
        return None
    else:
        request = TableRequest(
            architecture=shape,
            engine=dense.form.engine,
            precision=dense.form.precision,
            options={**dense.spec.options, "parallel": choose_parallel(shape, dense.spec.options)},
            threads=job.threads,
            lengths=job.calibration(dense.state.tokenizer).lengths,
        )
        table = measure_table(request, rng=job.rng(), progress=job.progress, clock=job.clock)
    _keep_table(job, table)
    return table


def _keep_table(job: Job, table: LatencyTable) -> None:
    save_table(table, job.workspace.folder(LATENCY_TABLE))
    if job.request.latency_table is not None:
        save_table(table, job.request.latency_table)


def narrow_states(job: Job, dense: Candidate, table: LatencyTable | None) -> Iterator[StateTrial]:
    """Give narrower states, widest first, each cut from the dense one and repaired.

    Args:
        job: the run.
        dense: the form of the dense state that speed-ups are measured against.
        table: prices of widths in that form; counted work when absent.

    Yields:
        One state a width and a speed-up; without any of the user's, on until the FP32 form lies
        below a floor twice in a row.
    """
    cutter = Cutter(job, dense, table, lambda learned: _keep_table(job, learned))
    asked = job.request.widths or job.request.speedups
    missed = 0
    for width in job.request.widths or (() if asked else _LADDER):
        name = f"width-{width.numerator}-{width.denominator}"
        state = job.workspace.state(name, dense.state, lambda width=width: cutter.to_width(width))  # type: ignore[misc]  # default binds the loop's value
        trial = try_state(job, name, state)
        yield trial
        missed = missed + 1 if trial.is_hopeless else 0
        if missed == 2 and not asked:
            return
    for speedup in job.request.speedups:
        name = f"speedup-{speedup:g}"
        state = job.workspace.state(
            name,
            dense.state,
            lambda speedup=speedup: cutter.to_speedup(speedup),  # type: ignore[misc]  # default binds the loop's value
        )
        yield try_state(job, name, state)
