"""Test sets drawn with a seed and judged by `judge` itself: false holds, and what intervals cover.

Rows alike in truth and both answers are one cell of a population, so the true value of every
metric is known. The floor is set exactly there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.quality import Floor, LabelSet, judge, parse_floor
from thinfer.quality.evidence import is_rate
from thinfer.quality.intervals import clopper_pearson_lower, clopper_pearson_upper
from thinfer.quality.paired import count_pairs
from thinfer.quality.resampled import PairCells

__all__ = ["LABELS", "Population", "draw_verdicts", "share_with_bounds"]

LABELS = LabelSet(("normal", "a", "rare"), "normal")
SHARES = (0.9, 0.08, 0.02)  # of the classes
_ROUNDING = 1e-9
_LARGE = 10**9  # rows that stand for the population


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Population:
    """All cells and their chances.

    Attributes:
        triples: int64 `[cells, 3]`: truth, the original's answer, the candidate's.
        chances: float64 `[cells]`; their sum is 1.
    """

    triples: NDArray[np.int64]
    chances: NDArray[np.float64]

    @classmethod
    def of(cls, *, accuracy: float, lost: float, gained: float) -> Population:
        """Give a population of three classes, one of them rare.

        Args:
            accuracy: of the original, on every class.
            lost: share of the original's right rows that the candidate has wrong.
            gained: share of its wrong rows that the candidate has right.
        """
        places = len(LABELS)
        triples, chances = [], []
        for truth, share in enumerate(SHARES):
            for first in range(places):
                right = first == truth
                before = accuracy if right else (1 - accuracy) / (places - 1)
                for second in range(places):
                    if right:
                        step = 1 - lost if second == truth else lost / (places - 1)
                    else:
                        step = gained if second == truth else (1 - gained) * (second == first)
                    triples.append((truth, first, second))
                    chances.append(share * before * step)
        found = np.asarray(chances)
        return cls(triples=np.asarray(triples, dtype=np.int64), chances=found / found.sum())

    def value_of(self, metric: str, *, is_relative: bool) -> float:
        """Give what a floor on a metric asks about, with no chance in it.

        Args:
            metric: as a floor names it.
            is_relative: over the original's value.
        """
        direction = "<=" if metric == "flag_rate" else ">="
        floor = parse_floor(f"{metric}{direction}{'50%' if is_relative else '0.5'}", LABELS)
        truth, first, second = self.triples.T
        rows = {"truth": truth, "original": first, "candidate": second}
        if is_rate(floor):
            had, all_rows = self._rate(floor, first), self._rate(floor, second)
            return all_rows[0] / had[0] if is_relative else all_rows[0] / all_rows[1]
        cells = PairCells.collect(floor, labels=LABELS, **rows)
        order = np.argsort((truth * 3 + first) * 3 + second)
        return float(cells.ratio(self.chances[order] * _LARGE))

    def _rate(self, floor: Floor, answers: NDArray[np.int64]) -> tuple[float, float]:
        """Give the chances of a row that has the metric, and of one that it is about."""
        had = rows = 0.0
        for (truth, _, _), answer, chance in zip(self.triples, answers, self.chances, strict=True):
            one = [np.asarray([value], dtype=np.int64) for value in (truth, answer, answer)]
            counts = count_pairs(
                floor, truth=one[0], original=one[1], candidate=one[2], labels=LABELS
            )
            had, rows = had + chance * counts.trials, rows + chance * counts.rows
        return had, rows


def draw_verdicts(
    population: Population,
    metric: str,
    *,
    is_relative: bool,
    rows: int,
    draws: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Judge many test sets on a floor where the population truly is.

    Args:
        population: what is drawn from.
        metric: as a floor names it.
        is_relative: over the original's value.
        rows: of a test set.
        draws: test sets.
        rng: where chance comes from.

    Returns:
        Shares of the sets, each with its bounds: `held`, and those whose lower and upper bound
        cover the true value; also the mean T and how many sets could not show the metric.
    """
    bound = population.value_of(metric, is_relative=is_relative)
    direction = "<=" if metric == "flag_rate" else ">="
    number = f"{bound * 100:.12f}%" if is_relative else f"{bound:.14f}"
    floor = parse_floor(f"{metric}{direction}{number}", LABELS)
    held, low, high, missing, trials = 0, 0, 0, 0, 0
    for drawn in rng.multinomial(rows, population.chances, size=draws):
        truth, first, second = np.repeat(population.triples, drawn, axis=0).T
        found = judge(floor, truth=truth, original=first, candidate=second, labels=LABELS, rng=rng)
        held += int(found.verdict == "holds")
        trials += found.trials
        if found.interval == (0.0, 1.0) and found.original == found.value == 0.0:
            missing += 1
        true = bound * (found.original if is_relative else 1.0)
        low += int(found.interval[0] <= true + _ROUNDING)
        high += int(found.interval[1] >= min(1.0, true) - _ROUNDING)
    return {
        "metric": metric,
        "relative": is_relative,
        "rows": rows,
        "bound": bound,
        "trials": trials / draws,
        "undefined": missing,
        "held": share_with_bounds(held, draws),
        "low_covers": share_with_bounds(low, draws),
        "high_covers": share_with_bounds(high, draws),
    }


def share_with_bounds(count: int, draws: int) -> dict[str, float]:
    """Give a share and the two one-sided 97.5 % bounds that the number of draws leaves.

    Args:
        count: sets of which something is so.
        draws: all sets.
    """
    return {
        "share": count / draws,
        "low": clopper_pearson_lower(count, draws, 0.975),
        "high": clopper_pearson_upper(count, draws, 0.975),
    }


def draw_all(cases: Sequence[Mapping[str, Any]], *, draws: int, seed: int) -> list[dict[str, Any]]:
    """Judge every case, each with chance of its own.

    Args:
        cases: `accuracy`, `lost`, `gained`, `metric`, `relative`, `rows`.
        draws: test sets of each.
        seed: of all.
    """
    found = []
    for place, case in enumerate(cases):
        population = Population.of(
            accuracy=case["accuracy"], lost=case["lost"], gained=case["gained"]
        )
        found.append(
            {
                **case,
                **draw_verdicts(
                    population,
                    case["metric"],
                    is_relative=case["relative"],
                    rows=case["rows"],
                    draws=draws,
                    rng=np.random.default_rng([seed, place]),
                ),
            }
        )
    return found
