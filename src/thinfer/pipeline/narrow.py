"""Narrower states: cut from the dense one to a width or to a speed-up, repaired, retrained."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.ladder import Ladders
from thinfer.compress.prune import PruneTarget, build_ladders, prune_to
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.engine.pool import choose_parallel
from thinfer.errors import UserError
from thinfer.export.write import ExportRequest, write_engine
from thinfer.nn.train import Encoded
from thinfer.pipeline.candidate import Candidate, describe_candidate
from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.job import Job
from thinfer.pipeline.latency import LatencyTable, load_table, save_table
from thinfer.pipeline.price import TableRequest, measure_table
from thinfer.pipeline.speed import compare_throughput
from thinfer.pipeline.states import StateTrial, try_state
from thinfer.pipeline.workspace import LATENCY_TABLE

__all__ = ["Cutter", "find_table", "narrow_states"]

# Tried in turn where the user names none: on, while the FP32 form still clears the floor.
_LADDER = tuple(map(Fraction, ("7/8", "3/4", "2/3", "7/12", "1/2", "3/8", "1/4", "1/6")))
_RETRAIN_EPOCHS = 2  # `--retrain short`
_REACHED = 0.97  # of a speed-up that was asked for
_ATTEMPTS = 4
# Encoder time that is never aimed below: the search needs some room to choose in.
_LEAST_SHARE = 0.02


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
    cutter = Cutter(job, dense, table)
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


class Cutter:
    """Cuts the dense state to targets; the ladders are built at the first that needs them.

    Args:
        job: the run.
        dense: the form of the dense state that speed-ups are measured against.
        table: prices of widths; counted work when absent.
    """

    def __init__(self, job: Job, dense: Candidate, table: LatencyTable | None) -> None:
        self._job = job
        self._dense = dense
        self._table = table
        self._batch = job.calibration(dense.state.tokenizer)
        self._built: Ladders | None = None

    def to_width(self, width: Fraction) -> State:
        """Keep a part of the encoder's cost.

        Args:
            width: the part, in 0 … 1.
        """
        return self._retrain(self._prune(PruneTarget(ratio=float(width))))

    def to_speedup(self, speedup: float) -> State:
        """Cut until the dense form's engine runs the state so many times as fast.

        The table proposes; the engine is asked; where it is slower than proposed, the next
        proposal is tighter by as much. What had to be proposed in the end is kept in the table,
        and taken from there the next time.

        Args:
            speedup: throughput to the dense form's, over 1.

        Returns:
            The state; its last report says what was measured, and is `degraded` where even the
            fourth proposal stayed below 0.97 of what was asked.

        Raises:
            UserError: no table, or even an encoder of empty blocks would be slower.
        """
        table, key = self._require_table(), f"{speedup:g}"
        if key in table.aims:
            aim = float(table.aims[key])
            small = self._prune(PruneTarget(budget=self._budget(table, aim)))
            details = {"asked": speedup, "aim": aim, "measured": []}
            return self._retrain(
                small.replace(StepReport(step="speedup", outcome="applied", details=details))
            )
        aim = speedup
        measured: list[float] = []
        while True:
            small = self._prune(PruneTarget(budget=self._budget(table, aim)))
            measured.append(self._measure(small))
            if measured[-1] >= _REACHED * speedup or len(measured) == _ATTEMPTS:
                break
            aim *= 1.01 * speedup / measured[-1]
        self._table = replace(table, aims={**table.aims, key: aim})
        _keep_table(self._job, self._table)
        details = {"asked": speedup, "aim": aim, "measured": measured}
        report = StepReport(step="speedup", outcome="applied", details=details)
        if measured[-1] < _REACHED * speedup:
            reason = f"{measured[-1]:.2f} times after {_ATTEMPTS} proposals, {speedup:g} asked"
            report = replace(report, outcome="degraded", reason=reason)
        return self._retrain(small.replace(report))

    def _require_table(self) -> LatencyTable:
        if self._table is None:
            what = "--speedups needs a model whose layers are alike"
            raise UserError(what, do="give --widths instead")
        return self._table

    def _budget(self, table: LatencyTable, aim: float) -> float:
        shape = self._dense.state.architecture
        times = table.workloads["batch"]
        fixed = times.base + (len(shape.layers) - 1) * times.layer
        full = table.predict(shape, "batch")
        least = _LEAST_SHARE * (full - fixed)
        if full / aim - fixed < least:
            what = f"a speed-up of {aim:.2f} is out of reach by pruning alone"
            expected = f"at most {full / (fixed + least):.2f} in {table.engine} {table.precision}"
            raise UserError(what, expected=expected, do="ask for less, or bring a smaller model")
        return full / aim - fixed

    def _measure(self, small: State) -> float:
        """Give the throughput of a state to the dense form's, in the same engine."""
        form = replace(self._dense.form, state="attempt")
        with tempfile.TemporaryDirectory(prefix="thinfer-") as root:
            request = ExportRequest(
                weights=small.weights,
                architecture=small.architecture,
                folder=Path(root),
                pad_id=small.pad_id,
                calibration=self._batch,
            )
            spec = write_engine(form.engine, form.precision, request)
            describe_candidate(request.folder, spec, small)
            attempt = Candidate(form=form, state=small, spec=spec, folder=request.folder)
            return compare_throughput(self._job, self._dense, attempt)

    def _prune(self, target: PruneTarget) -> State:
        job, dense = self._job, self._dense.state
        if self._built is None:
            self._built = build_ladders(dense, self._batch, rng=job.rng(), progress=job.progress)
        costs = self._table.costs(self._built, "batch") if self._table else None
        small, _ = prune_to(
            dense, self._built, self._batch, target, costs=costs, progress=job.progress
        )
        return small

    def _retrain(self, small: State) -> State:
        """Distil the dense state into a narrow one; the step's report says what came of it."""
        job = self._job
        if job.request.retrain == "none":
            return small
        more = job.sets.unlabelled
        train, dev = (_encoded(part, small) for part in (job.sets.train, job.sets.dev))
        schedule = replace(DistillSettings().train, epochs=_RETRAIN_EPOCHS, seed=job.request.seed)
        trained, report = distill(
            small,
            self._dense.state,
            train,
            dev=dev,
            unlabelled=None
            if more is None
            else small.tokenizer.encode(more.texts, more.pairs).batch,
            settings=DistillSettings(train=schedule),
            progress=job.progress,
            clock=job.clock,
        )
        if report.outcome == "refused":  # the state came back as it was, without the report
            return replace(trained, history=(*trained.history, report))
        return trained


def _encoded(part: LabelledSet, state: State) -> Encoded:
    return Encoded(batch=part.encode(state.tokenizer).batch, targets=part.truth)
