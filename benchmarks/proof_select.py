"""Choosing on `dev`, judging on `test`: many candidates that answer the same drawn rows.

Each row has a gap between the two logits of the original, and its truth is drawn from that; so the
original is calibrated. A candidate's gap is the original's with noise, most of it the same for
all candidates, as forms of one parent err alike. What a candidate truly keeps follows from its
noise by integration, and the noise is chosen for the loss that is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.proof_draws import share_with_bounds
from thinfer.quality import LabelSet, judge, margin_cleared, parse_floor
from thinfer.quality.foresight import calibrate, draw_truths

__all__ = ["draw_selections", "find_noise", "spread_losses"]

_LABELS = LabelSet(("no", "yes"))
_GAPS = 3.0  # standard deviation of the original's gaps
_SHARED = 0.8  # correlation of two candidates' noise
_POINTS = 4001

Classes = NDArray[np.int64]


def find_noise(loss: float) -> tuple[float, float]:
    """Give the noise with which a candidate loses so much on balance.

    Args:
        loss: true net loss, as a share of what the original has right.

    Returns:
        Standard deviation of the noise, and the discordance (losses and gains as a share of T).
    """
    gaps = np.linspace(0.0, 8 * _GAPS, _POINTS)
    weights = np.exp(-0.5 * (gaps / _GAPS) ** 2)
    right = 1 / (1 + np.exp(-gaps))
    had = float(weights @ right)

    def flips(noise: float) -> NDArray[np.float64]:
        return np.asarray([0.5 * math.erfc(gap / noise / math.sqrt(2)) for gap in gaps])

    low, high = 1e-3, 20.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        if float(weights @ (flips(middle) * (2 * right - 1))) / had < loss:
            low = middle
        else:
            high = middle
    return high, float(weights @ flips(high)) / had


def spread_losses(candidates: int, allowed: float) -> list[float]:
    """Give true losses around the floor, the fastest first: from twice what is allowed to half.

    Args:
        candidates: one lies at the floor.
        allowed: m.
    """
    if candidates == 1:
        return [allowed]
    return [allowed * (2 - 1.5 * place / (candidates - 1)) for place in range(candidates)]


def draw_selections(
    losses: Sequence[float], *, allowed: float, rows: int, draws: int, seed: int
) -> dict[str, Any]:
    """Choose and judge on many pairs of a dev set and a test set.

    Args:
        losses: true net loss of each candidate, the fastest first.
        allowed: m of the floor on accuracy.
        rows: of each set.
        draws: pairs of sets.
        seed: of all draws.

    Returns:
        Shares, each with its bounds: `false_holds` (a candidate at or below the floor was chosen
        on `dev` and held on `test`), `holds` (any did), and `false_holds_on_test`, where the
        fastest that holds on `test` is taken.
    """
    floor = parse_floor(f"accuracy>={100 * (1 - allowed):.10f}%", _LABELS)
    rng = np.random.default_rng(seed)
    noises = [find_noise(loss)[0] for loss in losses]
    is_bad = [loss >= allowed - 1e-12 for loss in losses]
    false = holds = taken = 0
    for _ in range(draws):
        logits, truth, answers = _draw(noises, rows, rng)
        rows_of = {"truth": truth, "original": logits.argmax(axis=1), "labels": _LABELS}
        truths = draw_truths(calibrate(logits, truth))
        clear = (
            place
            for place, given in enumerate(answers)
            if margin_cleared(floor, **rows_of, candidate=given, truths=truths)
        )
        chosen = next(clear, len(losses) - 1)
        logits, truth, answers = _draw(noises, rows, rng)
        rows_of = {"truth": truth, "original": logits.argmax(axis=1), "labels": _LABELS}
        held = [
            judge(floor, **rows_of, candidate=given, rng=rng).verdict == "holds"
            for given in answers
        ]
        holds += held[chosen]
        false += held[chosen] and is_bad[chosen]
        taken += True in held and is_bad[held.index(True)]
    return {
        "candidates": len(losses),
        "allowed": allowed,
        "rows": rows,
        "false_holds": share_with_bounds(false, draws),
        "holds": share_with_bounds(holds, draws),
        "false_holds_on_test": share_with_bounds(taken, draws),
    }


def _draw(
    noises: Sequence[float], rows: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], Classes, list[Classes]]:
    """Give the original's logits float32 `[rows, 2]`, truth, and each candidate's answers."""
    gaps = rng.normal(0.0, _GAPS, rows)
    truth = (rng.random(rows) < 1 / (1 + np.exp(-gaps))).astype(np.int64)
    shared = rng.normal(size=rows)
    answers = []
    for noise in noises:
        own = math.sqrt(_SHARED) * shared + math.sqrt(1 - _SHARED) * rng.normal(size=rows)
        answers.append((gaps + noise * own > 0).astype(np.int64))
    logits = np.stack([-gaps / 2, gaps / 2], axis=1).astype(np.float32)
    return logits, truth, answers
