"""`Job`: what every stage of one `compress` run shares; made once, never changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle.manifest import ProblemType
from thinfer.compress.state import State
from thinfer.core.clock import Clock
from thinfer.core.codec import to_json
from thinfer.core.progress import Progress
from thinfer.engine.base import Precision
from thinfer.pipeline.data import DataSets, LabelledSet
from thinfer.pipeline.request import CompressRequest
from thinfer.pipeline.workspace import Workspace
from thinfer.quality.floor import Floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.metrics import measure_quality
from thinfer.quality.operating import Decider, OperatingPoint
from thinfer.quality.refit import refit_point
from thinfer.quality.subject import find_rows
from thinfer.quality.verdict import estimate, margin_cleared, would_hold
from thinfer.text.batch import Batch
from thinfer.text.tokenizer import Tokenizer

__all__ = ["Job"]

Answers = NDArray[np.int64]
Logits = NDArray[np.float32]

_CALIBRATION_TEXTS = 2048


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One run.

    Attributes:
        request: what was asked.
        workspace: where pieces are kept.
        original: the model as it was brought.
        labels: its classes.
        problem_type: as the manifest names it.
        floors: what must hold.
        sets: the labelled text.
        point: how the original's logits are read.
        original_logits: float32 `[dev rows, classes]`, the original's.
        original_dev: int64 `[dev rows]`, its answers.
        dev_truths: int64 `[draws, dev rows]`, truths drawn from the original's calibrated
            probabilities (`draw_truths`); absent: floors are judged by counted rows alone.
        threads: threads of one call.
        engines: engines to try, the default first.
        precisions: precisions to try.
        progress: told of the work.
        clock: times it.
        original_rate: texts per second of the original on `dev`, roughly: one pass.
        deadline_s: reading of the monotonic clock by which the run should be over, if any.
    """

    request: CompressRequest
    workspace: Workspace
    original: State
    labels: LabelSet
    problem_type: ProblemType
    floors: tuple[Floor, ...]
    sets: DataSets
    point: OperatingPoint
    original_logits: Logits
    original_dev: Answers
    threads: int
    engines: tuple[str, ...]
    precisions: tuple[Precision, ...]
    progress: Progress
    clock: Clock
    dev_truths: Answers | None = None
    original_rate: float | None = None
    deadline_s: float | None = None

    @property
    def is_explored(self) -> bool:
        """Whether the time that was given is spent on a search over everything."""
        is_named = bool(self.request.widths or self.request.speedups or self.request.recipe)
        return self.deadline_s is not None and not is_named

    def minutes_left(self) -> float:
        """Give the time until the deadline, never less than a second; without one, infinity."""
        if self.deadline_s is None:
            return math.inf
        return max(1.0, self.deadline_s - self.clock.monotonic()) / 60

    def rng(self) -> np.random.Generator:
        """Give a fresh generator of the run's seed: no stage depends on another's draws."""
        return np.random.default_rng(self.request.seed)

    def calibration_rows(self) -> list[int]:
        """Give the training rows that calibrate, drawn once for all states."""
        rows = len(self.sets.train)
        count = min(_CALIBRATION_TEXTS, rows)
        return sorted(map(int, self.rng().choice(rows, size=count, replace=False)))

    def calibration(self, tokenizer: Tokenizer) -> Batch:
        """Give the calibration text as ids of a tokenizer.

        Args:
            tokenizer: of the state that is calibrated.
        """
        part = self.sets.train.corpus.select(self.calibration_rows())
        return tokenizer.encode(part.texts, part.pairs).batch

    @property
    def decider(self) -> Decider:
        """How the original answers."""
        return Decider(self.labels, self.point)

    def decider_for(self, logits: Logits, rows: NDArray[np.int64] | slice = slice(None)) -> Decider:
        """Give how a form answers: the original's operating point, fitted to its own scores.

        Args:
            logits: float32 `[rows, classes]`, the form's on `dev`.
            rows: which rows of `dev` they are.
        """
        point = refit_point(
            self.point,
            logits,
            original=self.original_logits[rows],
            truth=self.sets.dev.truth[rows],
            labels=self.labels,
        )
        return Decider(self.labels, point)

    def answers(self, logits: Logits, rows: NDArray[np.int64] | slice = slice(None)) -> Answers:
        """Give the answers of a form to rows of `dev`, at its own operating point.

        Args:
            logits: float32 `[rows, classes]`.
            rows: which rows they are.

        Returns:
            int64 `[rows]`.
        """
        return self.decider_for(logits, rows).answer(logits)

    def select_rows(
        self, floor: Floor, answers: Answers, rows: NDArray[np.int64] | slice = slice(None)
    ) -> dict[str, Any]:
        """Give what `dev` knows of a floor: the rows that it is about.

        Args:
            floor: perhaps with a slice.
            answers: int64 `[rows]`, of a candidate.
            rows: which rows of `dev` were answered.

        Returns:
            `truth`, `original`, `candidate` and `labels`, as `estimate` and its kin take them, and
            `truths` where there are any; a slice that none of the rows belongs to gives no row.
        """
        dev = self.sets.dev
        about = find_rows(floor, dev.corpus.columns, len(dev))[rows]
        return {
            "truth": dev.truth[rows][about],
            "original": self.original_dev[rows][about],
            "candidate": answers[about],
            "labels": self.labels,
            "truths": None if self.dev_truths is None else self.dev_truths[:, rows][:, about],
        }

    def missed_floors(
        self,
        answers: Answers,
        *,
        margin_se: float = 1.0,
        spend: float = 1.0,
        is_kin: bool = True,
    ) -> tuple[str, ...]:
        """Give the floors that answers on `dev` do not clear, as the user wrote them.

        Args:
            answers: int64 `[dev rows]`.
            margin_se: by how many paired standard errors they must be cleared.
            spend: part of what a relative floor allows to be lost that may be lost here, in
                (0, 1].
            is_kin: they are a compressed form's; those of another kind of model are judged by
                counted rows alone.
        """
        unseen = {} if is_kin else {"truths": None}
        return tuple(
            floor.expr
            for floor in self.floors
            if not margin_cleared(
                floor.tightened(spend),
                **{**self.select_rows(floor, answers), **unseen},
                margin_se=margin_se,
            )
        )

    def estimate_floors(self, answers: Answers) -> list[dict[str, Any]]:
        """Give what the floors ask about, as it is estimated on `dev`, as JSON.

        Args:
            answers: int64 `[dev rows]`, of a compressed form.

        Returns:
            `expr`, `value` (for a relative floor, the share of the original's that is kept) and
            `error`, its standard error; floors that these rows cannot show are left out.
        """
        found = [
            (floor.expr, estimate(floor, **self.select_rows(floor, answers)))
            for floor in self.floors
        ]
        return [
            {"expr": expr, "value": item.ratio, "error": item.error}
            for expr, item in found
            if item is not None
        ]

    def unprovable_floors(self, answers: Answers) -> tuple[str, ...]:
        """Give the floors that a test set of this size would hardly prove, as the user wrote them.

        Only the number of test rows is looked at.

        Args:
            answers: int64 `[dev rows]`, of a compressed form.
        """
        test = self.sets.test
        return tuple(
            floor.expr
            for floor in self.floors
            if not would_hold(
                floor,
                **self.select_rows(floor, answers),
                rows=int(find_rows(floor, test.corpus.columns, len(test)).sum()),
            )
        )

    def measure(self, part: LabelledSet, answers: Answers) -> Any:  # noqa: ANN401 - JSON
        """Give the figures of quality as JSON.

        Args:
            part: the set that was answered.
            answers: int64 `[rows]`.
        """
        return to_json(measure_quality(part.truth, answers, self.labels))


def covering_texts(sets: DataSets) -> Sequence[str]:
    """Give the text that vocabulary pruning must cover: train and unlabelled.

    `dev` and `test` are not covered on purpose: they show what uncovered text costs.

    Args:
        sets: the labelled text.
    """
    parts = [sets.train.corpus, *([sets.unlabelled] if sets.unlabelled else [])]
    return [text for part in parts for text in (*part.texts, *(part.pairs or ()))]
