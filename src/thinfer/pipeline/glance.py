"""A glance at a state: some rows of `dev`, answered by its FP32 torch form, set against the floors.

The rows of a nearer glance contain those of a farther one, so that looks are comparable.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import count_cost
from thinfer.compress.state import State
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.halving import Score
from thinfer.pipeline.job import Answers, Job
from thinfer.pipeline.latency import LatencyTable
from thinfer.quality.verdict import margin_cleared

__all__ = ["Glancer"]

_LEAST_ROWS = 64
# Paired standard errors by which a floor must be cleared, by rung: at first it may be missed, for
# few rows say little and repair is still to come; the last look asks for the choice's own margin.
_MARGINS = (-2.0, -1.0, 1.0)


class Glancer:
    """Looks at states on ever more rows of `dev`.

    Args:
        job: the run.
        dense: the dense state; speeds are predicted as ratios to it.
        table: prices of widths; counted work when absent.
        rungs: looks of different length; the last one reads all rows.
        eta: how many times as many rows each look reads.
    """

    def __init__(
        self, job: Job, dense: State, table: LatencyTable | None, *, rungs: int, eta: int
    ) -> None:
        self._job = job
        self._dense = dense
        self._table = table
        rows = len(job.sets.dev)
        order = job.rng().permutation(rows)
        counts = [max(_LEAST_ROWS, rows // eta ** (rungs - 1 - rung)) for rung in range(rungs)]
        self._rows = [np.sort(order[:count]) for count in counts]

    def rows(self, rung: int) -> NDArray[np.int64]:
        """Give the rows of `dev` that a look reads, int64 `[rows]`, rising."""
        return self._rows[rung]

    def look(self, state: State, rung: int) -> tuple[Score, Answers]:
        """Answer the rows of a rung.

        Args:
            state: the model.
            rung: from 0.

        Returns:
            The score, and the answers, int64 `[rows]`.
        """
        rows, job = self._rows[rung], self._job
        part = job.sets.dev.corpus.select([int(row) for row in rows])
        batch = state.tokenizer.encode(part.texts, part.pairs).batch
        logits = compute_logits(state.module(), batch, pad_id=state.pad_id)
        answers = job.answers(logits, rows)
        score = Score(
            is_within=not self.misses(answers, rows, margin_se=_MARGINS[rung]),
            speed=self.predict(state),
            quality=float(np.mean(answers == job.original_dev[rows])),
            size=float(sum(array.nbytes for array in state.weights.values())),
        )
        return score, answers

    def misses(
        self, answers: Answers, rows: NDArray[np.int64], *, margin_se: float
    ) -> Sequence[str]:
        """Give the floors that answers to some rows miss.

        Args:
            answers: int64 `[rows]`.
            rows: which rows of `dev`.
            margin_se: by how many paired standard errors a floor must be cleared; below 0, by
                how many it may be missed.
        """
        job = self._job
        about = [(floor, job.select_rows(floor, answers, rows)) for floor in job.floors]
        return [
            floor.expr
            for floor, known in about
            # Few rows may hold none of a slice, and then say nothing against it.
            if len(known["truth"]) and not margin_cleared(floor, **known, margin_se=margin_se)
        ]

    def predict(self, state: State) -> float:
        """Give the throughput to be expected, as a ratio to the dense state's.

        Args:
            state: the model; of other sizes than the table's, work is counted.
        """
        lengths = [self._job.calibration(each.tokenizer).lengths for each in (self._dense, state)]
        shapes = (self._dense.architecture, state.architecture)
        table = self._table
        if table is not None and table.covers(shapes[1]):
            times = [table.predict(shape, "batch") for shape in shapes]
        else:
            length = max(1, round(float(lengths[0].mean())))
            times = [float(count_cost(shape, length=length).macs) for shape in shapes]
        return times[0] * int(lengths[0].sum()) / (times[1] * max(1, int(lengths[1].sum())))
