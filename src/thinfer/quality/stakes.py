"""Which rows of unlabelled traffic can change a verdict, and which of them are labelled.

Only where two models differ can a row be lost or gained. Labelling all of these, or a random
sample, and a random sample of the rows on which both agree, is all that a retention needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import UserError
from thinfer.quality.audit import AuditCounts, Stratum
from thinfer.quality.floor import Floor
from thinfer.quality.labels import LabelSet

__all__ = [
    "UNLABELLED",
    "AuditDraw",
    "Populations",
    "Stakes",
    "check_auditable",
    "count_labels",
    "count_right",
    "draw_rows",
    "find_stakes",
    "needs_no_labels",
]

Classes = NDArray[np.int64]
Rows = NDArray[np.bool_]

UNLABELLED = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stakes:
    """What a label could still say of each row; all bool `[rows]`.

    Attributes:
        may_lose: the candidate lost the row, where the truth is what the original said.
        may_gain: the candidate gained the row, where the truth is what it says.
        agreed: both have the row, where the truth is what both say.
    """

    may_lose: Rows
    may_gain: Rows
    agreed: Rows

    @property
    def changed(self) -> Rows:
        """Rows that can change the retention."""
        return self.may_lose | self.may_gain


@dataclass(frozen=True, slots=True, kw_only=True)
class Populations:
    """How many rows of the traffic there are of each kind.

    Attributes:
        rows: all of them.
        changed: those that may be lost or gained.
        may_lose: as in `Stakes`.
        may_gain: as in `Stakes`.
        agreed: as in `Stakes`.
    """

    rows: int
    changed: int
    may_lose: int
    may_gain: int
    agreed: int

    @classmethod
    def count(cls, stakes: Stakes) -> Populations:
        """Count the rows of each kind."""
        return cls(
            rows=len(stakes.agreed),
            changed=int(stakes.changed.sum()),
            may_lose=int(stakes.may_lose.sum()),
            may_gain=int(stakes.may_gain.sum()),
            agreed=int(stakes.agreed.sum()),
        )

    @property
    def answered(self) -> int:
        """Rows on which the original gave an answer that counts: for `flagged_recall`, flags."""
        return self.agreed + self.may_lose


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuditDraw:
    """Which rows are to be labelled.

    Attributes:
        rows: int64 `[drawn]`, places in the traffic, in an order that says nothing.
        samples: for each floor, which of them are its sample of agreed rows, bool `[drawn]`.
        changed: rows of the traffic that can change a retention, before `most` was applied.
    """

    rows: NDArray[np.int64]
    samples: tuple[Rows, ...]
    changed: int


def needs_no_labels(floor: Floor) -> bool:
    """Say whether the answers alone decide a floor."""
    return floor.metric in ("agreement", "flag_rate")


def check_auditable(floor: Floor) -> None:
    """Let pass a floor that can be judged from the rows where two models differ.

    Args:
        floor: the demand.

    Raises:
        UserError: it needs the truth of rows that nobody will label.
    """
    is_share = floor.metric in ("flagged_recall", "accuracy") or (
        floor.metric == "recall" and floor.label is not None
    )
    is_whole = floor.slice is None and floor.fpr is None  # what traffic cannot say
    if is_whole and (needs_no_labels(floor) or (is_share and floor.relative)):
        return
    what = f"the floor '{floor.expr}' cannot be audited"
    raise UserError(
        what,
        expected="flagged_recall, recall[LABEL] or accuracy as a percentage of the original's, "
        "flag_rate or agreement; no slice, no @fpr",
        do="label all of the traffic and use `thinfer evaluate` for others",
    )


def find_stakes(floor: Floor, original: Classes, candidate: Classes, labels: LabelSet) -> Stakes:
    """Say of each row whether its truth can matter to a floor.

    Args:
        floor: one that `check_auditable` lets pass.
        original: int64 `[rows]`, its answers.
        candidate: int64 `[rows]`, its answers.
        labels: the classes.
    """
    if floor.metric in ("accuracy", "agreement"):
        same = original == candidate
        return Stakes(may_lose=~same, may_gain=~same, agreed=same)
    first, second = (_gives(floor, each, labels) for each in (original, candidate))
    return Stakes(may_lose=first & ~second, may_gain=second & ~first, agreed=first & second)


def draw_rows(
    stakes: Sequence[Stakes], *, sample: int, most: int | None, rng: np.random.Generator
) -> AuditDraw:
    """Draw the rows to be labelled, for all floors together.

    Every row has one random rank, and a sample of any kind of rows is those of the lowest ranks:
    so the samples of several floors share as many rows as they can, and each is a random one.

    Args:
        stakes: of each floor, at least one.
        sample: agreed rows for each floor, at most.
        most: rows that can change a retention, at most; all of them when absent.
        rng: where chance comes from.
    """
    rows = len(stakes[0].agreed)
    rank = rng.permutation(rows)
    changed = np.logical_or.reduce([part.changed for part in stakes])
    drawn = _lowest(changed, rank, rows if most is None else most)
    samples = [_lowest(part.agreed, rank, sample) for part in stakes]
    chosen = rng.permutation(np.flatnonzero(np.logical_or.reduce([drawn, *samples])))
    return AuditDraw(
        rows=chosen,
        samples=tuple(part[chosen] for part in samples),
        changed=int(changed.sum()),
    )


def count_labels(
    floor: Floor,
    populations: Populations,
    *,
    answers: tuple[Classes, Classes],
    truth: Classes,
    sampled: Rows,
    labels: LabelSet,
) -> AuditCounts:
    """Count what labelled rows say about a floor.

    Args:
        floor: the demand.
        populations: of the whole traffic.
        answers: the original's and the candidate's, each int64 `[drawn]`.
        truth: int64 `[drawn]`, or `UNLABELLED`.
        sampled: bool `[drawn]`, the floor's own sample of agreed rows.
        labels: the classes.
    """
    stakes = find_stakes(floor, *answers, labels)
    known = truth != UNLABELLED
    right = np.where(known, truth, 0)  # any class; what is unknown is masked below
    had, has = (_is_right(floor, each, right, labels) & known for each in answers)

    def stratum(kind: Rows, population: int, counts: Rows) -> Stratum:
        missing, found = int((kind & ~known).sum()), int((kind & counts).sum())
        return Stratum(population=population, asked=int(kind.sum()), missing=missing, found=found)

    return AuditCounts(
        lost=stratum(stakes.may_lose, populations.may_lose, had & ~has),
        gained=stratum(stakes.may_gain, populations.may_gain, has & ~had),
        kept=stratum(stakes.agreed & sampled, populations.agreed, had & has),
        missing=int(((stakes.changed | (stakes.agreed & sampled)) & ~known).sum()),
    )


def count_right(
    floor: Floor, answers: Classes, truth: Classes, labels: LabelSet
) -> tuple[int, int]:
    """Count the answers that a floor is about, and how many of them are right.

    Args:
        floor: one that `check_auditable` lets pass.
        answers: int64 `[rows]`.
        truth: int64 `[rows]`.
        labels: the classes.

    Returns:
        Right ones, and all of them.
    """
    given = np.ones(len(answers), dtype=np.bool_)
    if floor.metric != "accuracy":
        given = _gives(floor, answers, labels)
    return int((given & _is_right(floor, answers, truth, labels)).sum()), int(given.sum())


def _gives(floor: Floor, codes: Classes, labels: LabelSet) -> Rows:
    """Say which answers, or truths, hold what a recall is about."""
    if floor.metric == "recall":
        held: Rows = codes == labels.index(str(floor.label))
        return held
    return labels.flagged[codes]


def _is_right(floor: Floor, answers: Classes, truth: Classes, labels: LabelSet) -> Rows:
    if floor.metric == "accuracy":
        right: Rows = answers == truth
        return right
    return _gives(floor, answers, labels) & _gives(floor, truth, labels)


def _lowest(kind: Rows, rank: NDArray[np.int64], count: int) -> Rows:
    """Mark the rows of a kind that have the lowest ranks."""
    places = np.flatnonzero(kind)
    marked = np.zeros(len(kind), dtype=np.bool_)
    marked[places[np.argsort(rank[places], kind="stable")[:count]]] = True
    return marked
