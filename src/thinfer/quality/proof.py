"""`prove`: every figure of a judgement from truths, answers and floors, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from thinfer.quality.evidence import Answer
from thinfer.quality.floor import Floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.metrics import Metrics, measure_quality
from thinfer.quality.subject import Columns, judge_subject
from thinfer.quality.verdict import Verdict, overall

__all__ = ["Proof", "judge_floors", "prove"]

Classes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a test set says of a candidate.

    Attributes:
        verdict: of all floors together.
        floors: of each floor, in their order.
        original: figures of the original.
        chosen: figures of the candidate.
    """

    verdict: Answer
    floors: tuple[Verdict, ...]
    original: Metrics
    chosen: Metrics


def judge_floors(
    floors: Sequence[Floor],
    *,
    truth: Classes,
    original: Classes,
    candidate: Classes,
    labels: LabelSet,
    seed: int,
    columns: Columns = MappingProxyType({}),
) -> tuple[Verdict, ...]:
    """Judge each floor with a generator of its own, so that none depends on another's draws.

    Args:
        floors: the demands.
        truth: int64 `[rows]`, classes.
        original: int64 `[rows]`, the original's answers.
        candidate: int64 `[rows]`, the candidate's answers.
        labels: the classes.
        seed: of the generators.
        columns: column → its value in each row, for floors on slices.

    Returns:
        A verdict for each floor, in their order.
    """
    return tuple(
        judge_subject(
            floor,
            truth=truth,
            original=original,
            candidate=candidate,
            labels=labels,
            columns=columns,
            rng=np.random.default_rng(seed),
        )
        for floor in floors
    )


def prove(
    floors: Sequence[Floor],
    *,
    truth: Classes,
    original: Classes,
    candidate: Classes,
    labels: LabelSet,
    seed: int,
    columns: Columns = MappingProxyType({}),
) -> Proof:
    """Give every figure of a judgement.

    Args:
        floors: as for `judge_floors`, like all that follows.
        truth: int64 `[rows]`, classes.
        original: int64 `[rows]`, the original's answers.
        candidate: int64 `[rows]`, the candidate's answers.
        labels: the classes.
        seed: of the resampling.
        columns: column → its value in each row, for floors on slices.

    Returns:
        The verdicts, and the figures of both models.
    """
    rows = {"truth": truth, "original": original, "candidate": candidate}
    verdicts = judge_floors(floors, **rows, labels=labels, seed=seed, columns=columns)
    return Proof(
        verdict=overall(verdicts),
        floors=verdicts,
        original=measure_quality(truth, original, labels),
        chosen=measure_quality(truth, candidate, labels),
    )
