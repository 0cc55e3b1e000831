"""`WidthFamily`: all widths of a run from one set of weights (`--retrain adaptive`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from thinfer.compress.adaptive import front_mask, order_by_importance, train_widths
from thinfer.compress.ladder import Ladders
from thinfer.compress.lesson import count_right
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.surgery import cut
from thinfer.pipeline.job import Job
from thinfer.pipeline.request import WIDTHS
from thinfer.pipeline.retrain import plan_schooling

__all__ = ["WidthFamily"]

_STORED = "shared-widths"


class WidthFamily:
    """Trains the widths of the request together, once, and cuts each from what they share.

    Args:
        job: the run.
        dense: the state to start from; also the teacher.
        ladders: of the dense state.
        prune: gives the dense state pruned to a width and repaired, without training.
    """

    def __init__(
        self, job: Job, dense: State, ladders: Ladders, prune: Callable[[Fraction], State]
    ) -> None:
        self._job = job
        self._dense = dense
        self._ladders = ladders
        self._prune = prune
        self._widths = job.request.widths or WIDTHS
        self._pruned: dict[Fraction, State] = {}
        self._trained: State | None = None

    def at(self, width: Fraction) -> State:
        """Give the state of one width.

        Args:
            width: part of the encoder's cost to keep; degraded where it was not among those
                that were trained.

        Returns:
            The shared weights cut to the width; where they answer fewer `dev` texts right than
            the untrained repair of the same shape, that one, and the last report says `refused`.
        """
        repaired, shared = self._repaired(width), self._share()
        small = cut(shared, front_mask(shared.architecture, repaired.architecture))
        dev = plan_schooling(self._job, self._dense).dev
        before, after = (count_right(state, dev) for state in (repaired, small))
        training = shared.history[-1]
        told = {name: fact for name, fact in training.details.items() if name != "widths"}
        details = {
            **told,
            "trained_widths": [str(each) for each in self._widths],
            "dev_right_before": before,
            "dev_right_after": after,
            "dev_rows": len(dev.batch),
        }
        if after < before:
            reason = f"shared weights answered {after} of {len(dev.batch)} dev texts right, "
            report = StepReport(
                step="adaptive",
                outcome="refused",
                reason=f"{reason}the repaired cut {before}",
                details=details,
            )
            return replace(repaired, history=(*repaired.history, report))
        reasons = [training.reason] if training.reason else []
        if width not in self._widths:
            reasons.append(f"width {width} was not among those that were trained")
        report = StepReport(
            step="adaptive",
            outcome="degraded" if reasons else "applied",
            reason="; ".join(reasons),
            details=details,
        )
        return replace(small, history=(*self._dense.history, _without_refits(repaired), report))

    def _repaired(self, width: Fraction) -> State:
        if width not in self._pruned:
            self._pruned[width] = self._prune(width)
        return self._pruned[width]

    def _share(self) -> State:
        if self._trained is None:
            stored = self._job.workspace.state(_STORED, self._dense, self._train)
            self._trained = stored
        return self._trained

    def _train(self) -> State:
        job, school = self._job, plan_schooling(self._job, self._dense)
        shapes = [self._repaired(width).architecture for width in self._widths]
        shared, report = train_widths(
            order_by_importance(self._dense, self._ladders),
            shapes,
            school.train,
            unlabelled=school.more,
            settings=school.settings,
            progress=job.progress,
            clock=job.clock,
        )
        facts = {**report.details, "augmented_rows": school.augmented}
        return replace(shared, history=(*shared.history[:-1], replace(report, details=facts)))


def _without_refits(repaired: State) -> StepReport:
    """Give the report of the pruning that chose the widths; its refits are not in the weights."""
    report = repaired.history[-1]
    details = {name: fact for name, fact in report.details.items() if name != "refits"}
    return replace(report, details=details)
