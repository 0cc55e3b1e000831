"""Narrower states, one for each width or speed-up of a run, and the table that prices them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import cycle

from thinfer.architecture import Architecture
from thinfer.compress.headsize import list_sizes
from thinfer.engine.pool import choose_parallel
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.cutter import Cutter
from thinfer.pipeline.follow import follow_recipe
from thinfer.pipeline.job import Job
from thinfer.pipeline.latency import LatencyTable, load_table, save_table
from thinfer.pipeline.price import TableRequest, measure_table
from thinfer.pipeline.request import WIDTHS
from thinfer.pipeline.states import StateTrial, try_state
from thinfer.pipeline.workspace import LATENCY_TABLE
from thinfer.text.tokenizer import Tokenizer

__all__ = ["RECIPE", "find_table", "halve_gap", "narrow_states"]

RECIPE = "recipe"  # name of the state that `--recipe` makes

# Where the user names no width, those of the request are tried while the FP32 form still clears the
# floor. Then the gap between the narrowest that cleared and the next one that did not is halved, so
# many times.
_HALVINGS = 2


def find_table(job: Job, dense: Candidate) -> LatencyTable | None:
    """Give the latency table of a run: the user's, an interrupted run's, or one measured now.

    Args:
        job: the run.
        dense: the fastest form of the dense state; its engine is the one that is measured.

    Returns:
        The table; None where the layers of the model differ, so that counted work must do.
    """
    shape = dense.state.architecture
    sizes = _list_head_sizes(job, shape)
    wanted = job.request.latency_table
    stored = job.workspace.folder(LATENCY_TABLE)
    given = wanted is not None and wanted.exists()
    if given or (job.request.resume and stored.exists()):
        table = load_table(wanted if given and wanted else stored)
        table.check_fits(shape, threads=job.threads)
        table.check_sizes(sizes)
    elif any(layer != shape.layers[0] for layer in shape.layers):
        job.progress.note("layers of different shapes: widths are priced by counted work")
        return None
    else:
        parallel = choose_parallel(shape, dense.form.precision, dense.spec.options)
        request = TableRequest(
            architecture=shape,
            engine=dense.form.engine,
            precision=dense.form.precision,
            options={**dense.spec.options, "parallel": parallel},
            threads=job.threads,
            lengths=job.calibration(dense.state.tokenizer).lengths,
            head_sizes=sizes,
            prepare=_tokenise_some(job, dense.state.tokenizer),
        )
        table = measure_table(request, rng=job.rng(), progress=job.progress, clock=job.clock)
    _keep_table(job, table)
    return table


def _tokenise_some(job: Job, tokenizer: Tokenizer) -> Callable[[int], object]:
    """Give a call that tokenises so many of the calibration texts, others each time."""
    part = job.sets.train.corpus.select(job.calibration_rows())
    road = cycle(range(len(part)))

    def tokenise(texts: int) -> object:
        rows = [next(road) for _ in range(texts)]
        pairs = None if part.pairs is None else [part.pairs[row] for row in rows]
        return tokenizer.encode([part.texts[row] for row in rows], pairs)

    return tokenise


def _list_head_sizes(job: Job, shape: Architecture) -> tuple[int, ...]:
    """Give the smaller sizes of a head that a run may choose; none where it was not asked to."""
    if not job.request.reduce_ranks or not shape.layers:
        return ()
    sizes = {size for layer in shape.layers for size in list_sizes(layer)}
    if not sizes:
        job.progress.note("--reduce-ranks: the heads are too small to be made smaller")
    return tuple(sorted(sizes))


def _keep_table(job: Job, table: LatencyTable) -> None:
    save_table(table, job.workspace.folder(LATENCY_TABLE))
    if job.request.latency_table is not None:
        save_table(table, job.request.latency_table)


def narrow_states(
    job: Job,
    dense: Candidate,
    table: LatencyTable | None,
    is_cleared: Callable[[str], bool],
) -> Iterator[StateTrial]:
    """Give narrower states, each cut from the dense one and repaired.

    Args:
        job: the run.
        dense: the form of the dense state that speed-ups are measured against.
        table: prices of widths in that form; counted work when absent.
        is_cleared: whether a form of the state of that name has cleared the floors; asked when
            the state after it is wanted.

    Yields:
        One state a width and a speed-up, and the recipe's; without any of the user's, from wide
        to narrow until the FP32 form lies below a floor twice in a row, and then in between.
    """

    def keep_table(learned: LatencyTable) -> None:
        _keep_table(job, learned)

    cutter, recipe = Cutter(job, dense, table, keep_table), job.request.recipe

    def cut(width: Fraction) -> StateTrial:
        name = _name(width)
        state = job.workspace.state(name, dense.state, lambda: cutter.to_width(width))
        return try_state(job, name, state)

    for width in job.request.widths:
        yield cut(width)
    for speedup in job.request.speedups:
        name = f"speedup-{speedup:g}"
        state = job.workspace.state(
            name,
            dense.state,
            lambda speedup=speedup: cutter.to_speedup(speedup),  # type: ignore[misc]  # default binds the loop's value
        )
        yield try_state(job, name, state)
    if recipe is not None:
        make = partial(follow_recipe, job, dense, table, keep_table, recipe)
        yield try_state(job, RECIPE, job.workspace.state(RECIPE, dense.state, make))
    if job.request.widths or job.request.speedups or recipe:
        return
    tried: list[Fraction] = []
    missed = 0
    for width in WIDTHS:
        trial = cut(width)
        tried.append(width)
        yield trial
        missed = missed + 1 if trial.is_hopeless else 0
        if missed == 2:
            break
    for _ in range(_HALVINGS):
        between = halve_gap(tried, [width for width in tried if is_cleared(_name(width))])
        if between is None:
            return
        tried.append(between)
        yield cut(between)


def halve_gap(tried: Sequence[Fraction], cleared: Sequence[Fraction]) -> Fraction | None:
    """Give the width in the middle between the narrowest that cleared and the next that did not.

    Args:
        tried: all widths so far.
        cleared: those of them that cleared the floors; the whole model always counts as cleared.

    Returns:
        The width; None where nothing narrower than the narrowest cleared one was tried.
    """
    narrowest = min(cleared, default=Fraction(1))
    below = [width for width in tried if width < narrowest]
    return (narrowest + max(below)) / 2 if below else None


def _name(width: Fraction) -> str:
    return f"width-{width.numerator}-{width.denominator}"
