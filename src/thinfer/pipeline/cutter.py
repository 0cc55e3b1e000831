"""`Cutter`: the dense state cut to a width or to a speed-up, repaired and, if asked, retrained."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from thinfer.compress.costs import BlockCosts, count_costs
from thinfer.compress.ladder import Ladders
from thinfer.compress.prune import (
    Pruner,
    PruneSettings,
    PruneTarget,
    SearchSettings,
    build_ladders,
)
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.errors import UserError
from thinfer.export.write import ExportRequest, write_engine
from thinfer.pipeline.candidate import Candidate, describe_candidate
from thinfer.pipeline.family import WidthFamily
from thinfer.pipeline.job import Job
from thinfer.pipeline.latency import LatencyTable
from thinfer.pipeline.retrain import retrain
from thinfer.pipeline.sketch import Sketcher
from thinfer.pipeline.speed import compare_throughput

__all__ = ["SEARCH_BELOW", "Cutter"]

_REACHED = 0.97  # of a speed-up that was asked for
_ATTEMPTS = 4
# Wider than this part of the blocks' cost, any sensible choice loses next to nothing, and a search
# finds nothing to gain (benchmarks/prune.py: 1.25 and 1.5 times as fast on sst2).
SEARCH_BELOW = 0.6
# Encoder time that is never aimed below: the search needs some room to choose in.
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Start:
    """A state to cut from, with its ladders and their prices."""

    state: State
    ladders: Ladders
    costs: BlockCosts
    pruner: Pruner

    @property
    def price(self) -> float:
        """Cost of all blocks as they are."""
        return self.price_without(())

    def price_without(self, drop_layers: tuple[int, ...]) -> float:
        """Cost of all blocks of the layers that stay."""
        pairs = zip(self.costs.heads, self.costs.neurons, strict=True)
        kept = [pair for index, pair in enumerate(pairs) if index not in drop_layers]
        return sum(float(each[-1]) for pair in kept for each in pair)


class Cutter:
    """Cuts the dense state to targets; the ladders are built at the first that needs them.

    Args:
        job: the run.
        dense: the form of the dense state that speed-ups are measured against.
        table: prices of widths; counted work when absent.
        keep_table: called with the table when it has learned what to aim at.
    """

    def __init__(
        self,
        job: Job,
        dense: Candidate,
        table: LatencyTable | None,
        keep_table: Callable[[LatencyTable], None],
    ) -> None:
        self._job = job
        self._dense = dense
        self._table = table
        self._keep_table = keep_table
        self._batch = job.calibration(dense.state.tokenizer)
        self._built: _Start | None = None
        self._family: WidthFamily | None = None
        self._sketcher: Sketcher | None = None

    def to_width(self, width: Fraction) -> State:
        """Keep a part of the encoder's cost.

        Args:
            width: the part, in 0 … 1.
        """
        if self._job.request.retrain == "adaptive":
            return self._grow().at(width)
        return self._finish(float(width) * self._start().price)

    def prepare(self) -> None:
        """Build the ladders now, so that the first cut takes no longer than the others."""
        self._start()

    def sketch(self, width: Fraction, drop_layers: tuple[int, ...]) -> State:
        """Give a first look at a shape: every block repaired by itself, nothing retrained.

        Args:
            width: part of the cost of the layers that stay that is kept, in (0, 1].
            drop_layers: layers left out whole.
        """
        start = self._start()
        if self._sketcher is None:
            self._sketcher = Sketcher(
                state=start.state,
                ladders=start.ladders,
                costs=start.costs,
                calibration=self._batch,
                rng=self._job.rng(),
            )
        return self._sketcher.sketch(float(width) * start.price_without(drop_layers), drop_layers)

    def refit(self, width: Fraction, drop_layers: tuple[int, ...]) -> State:
        """Cut and repair, as `to_width` does, but retrain nothing.

        Args:
            width: part of the cost of the layers that stay that is kept, in (0, 1].
            drop_layers: layers left out whole.
        """
        start = self._start()
        budget = float(width) * start.price_without(drop_layers)
        return self._prune(start, budget, drop_layers=drop_layers)

    def to_speedup(self, speedup: float) -> State:
        """Cut until the dense form's engine runs the state so many times as fast.

        The table proposes; the engine is asked; where it is slower than proposed, the next
        proposal is tighter by as much. What had to be proposed in the end is kept in the table,
        and taken from there the next time.

        Args:
            speedup: throughput to the dense form's, over 1.

        Returns:
            The state; its history says what was measured, and is `degraded` where even the
            last proposal stayed below 0.97 of what was asked.

        Raises:
            UserError: no table, or even an encoder of empty blocks would be slower.
        """
        table, key = self._require_table(), f"{speedup:g}"
        self._check_reach(table, speedup)
        measured: list[float] = []
        aim = float(table.aims.get(key, speedup))
        while key not in table.aims:
            # Speed is a matter of shape: the repair can wait until the shape is settled.
            shape = self._prune(self._start(), self._budget(table, aim), is_refitted=False)
            measured.append(self._measure(shape))
            following = aim * 1.01 * speedup / measured[-1]
            is_reached = measured[-1] >= _REACHED * speedup
            if is_reached or len(measured) == _ATTEMPTS or following > self._most(table):
                self._table = replace(table, aims={**table.aims, key: aim})
                self._keep_table(self._table)
                break
            aim = following
        details = {"asked": speedup, "aim": aim, "measured": measured}
        report = StepReport(step="speedup", outcome="applied", details=details)
        if measured and measured[-1] < _REACHED * speedup:
            reason = f"{measured[-1]:.2f} times after {len(measured)} proposals, {speedup:g} asked"
            report = replace(report, outcome="degraded", reason=reason)
        return self._finish(self._budget(table, aim), report)

    def _require_table(self) -> LatencyTable:
        if self._table is None:
            what = "--speedups needs a model whose layers are alike"
            raise UserError(what, do="give --widths instead")
        return self._table

    def _fixed(self, table: LatencyTable) -> float:
        """Give the seconds of everything but the blocks."""
        times = table.workloads["batch"]
        return times.base + (len(self._dense.state.architecture.layers) - 1) * times.layer

    def _budget(self, table: LatencyTable, aim: float) -> float:
        return table.predict(self._dense.state.architecture, "batch") / aim - self._fixed(table)

    def _most(self, table: LatencyTable) -> float:
        """Give the speed-up that leaves the blocks next to nothing."""
        full, fixed = table.predict(self._dense.state.architecture, "batch"), self._fixed(table)
        return full / (fixed + _LEAST_SHARE * (full - fixed))

    def _check_reach(self, table: LatencyTable, speedup: float) -> None:
        if speedup > self._most(table):
            what = f"a speed-up of {speedup:g} is out of reach by pruning alone"
            expected = f"at most {self._most(table):.2f} in {table.engine} {table.precision}"
            raise UserError(what, expected=expected, do="ask for less, or bring a smaller model")

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

    def _finish(self, budget: float, report: StepReport | None = None) -> State:
        """Prune to a budget, in one cut or by way of a wider state, and retrain if asked."""
        job, start = self._job, self._start()
        if job.request.retrain == "full":
            # Half the way, in factors: what is learned there is not cut away at once.
            middle = self._prune(start, (start.price * budget) ** 0.5)
            middle = retrain(job, middle, start.state, is_halfway=True)
            start = self._climb(middle, is_kept=False)
        small = self._prune(start, budget)
        small = small if report is None else small.replace(report)
        return retrain(job, small, self._dense.state)

    def _grow(self) -> WidthFamily:
        if self._family is None:
            start = self._start()
            self._family = WidthFamily(
                self._job,
                start.state,
                start.ladders,
                lambda width: self._prune(start, float(width) * start.price),
            )
        return self._family

    def _start(self) -> _Start:
        if self._built is None:
            self._built = self._climb(self._dense.state, is_kept=True)
        return self._built

    def _climb(self, state: State, *, is_kept: bool) -> _Start:
        job = self._job
        ladders = build_ladders(
            state,
            self._batch,
            rng=job.rng(),
            settings=PruneSettings(keep_moments=True, resize_heads=job.request.reduce_ranks),
            progress=job.progress,
        )
        length = max(1, round(float(self._batch.lengths.mean())))
        if self._table is None:
            costs = count_costs(ladders, length=length)
        else:
            costs = self._table.costs(ladders, "batch")
        pruner = Pruner(state, ladders, self._batch, costs=costs, is_kept=is_kept)
        return _Start(state=state, ladders=ladders, costs=costs, pruner=pruner)

    def _prune(
        self,
        start: _Start,
        budget: float,
        *,
        is_refitted: bool = True,
        drop_layers: tuple[int, ...] = (),
    ) -> State:
        is_tight = budget < SEARCH_BELOW * start.price_without(drop_layers)
        small, _ = start.pruner.prune(
            PruneTarget(budget=budget, is_refitted=is_refitted, drop_layers=drop_layers),
            search=SearchSettings(seed=self._job.request.seed) if is_tight else None,
            progress=self._job.progress,
        )
        return small
