"""Thresholds, temperature and offsets of a compressed form, fitted on `dev` before it is judged.

Pruning and rounding move scores: a threshold that was right for the original flags more or less
afterwards, which would be laid at the model's door although a number can mend it. So the form's
scores are first brought near the original's (one temperature and an offset a label, those that
give the original's probabilities the least cross-entropy: vector scaling with equal slopes, Guo
et al. 2017, arXiv 1706.04599, section 4.2, fitted to a teacher instead of labels), and then each
declared threshold is set where as many rows of `dev` are falsely flagged as by the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import Decider, OperatingPoint

__all__ = ["match_scores", "place_threshold", "refit_point", "set_rates"]

Logits = NDArray[np.float32]
Classes = NDArray[np.int64]
Values = NDArray[np.float64]

_STEPS = 50
_RIDGE = 1.0  # rows' worth of belief that nothing has to be mended
_LEAST_SLOPE, _MOST_SLOPE = 0.05, 20.0


def place_threshold(scores: Logits, negative: NDArray[np.bool_], *, allowed: int) -> float:
    """Give the lowest threshold that lets at most so many negative rows pass.

    It lies halfway to the next score, so that rounding in another batch moves no row across it.

    Args:
        scores: float32 `[rows]`, of one label, 0 … 1.
        negative: bool `[rows]`, rows that do not have the label.
        allowed: negative rows that may pass, from 0.

    Returns:
        A score, 0 … 1; 1 where only a score of 1 may pass.
    """
    against = np.sort(scores[negative].astype(np.float64))[::-1]
    if allowed >= len(against):
        return 0.0
    barrier = against[allowed]  # this row, and all below, must not pass
    above = scores[scores > barrier].astype(np.float64)
    return float((barrier + above.min()) / 2) if len(above) else 1.0


def set_rates(
    decider: Decider, logits: Logits, truth: Classes, rates: Mapping[str, float]
) -> OperatingPoint:
    """Set thresholds at false-positive rates.

    Args:
        decider: the labels, and how the logits are read so far.
        logits: float32 `[rows, classes]`, on `dev`.
        truth: int64 `[rows]`, answers that are right.
        rates: label → share of the rows without it that may be answered as it, between 0 and 1.

    Returns:
        The point with these thresholds.

    Raises:
        DataError: there are too few rows without the label to see such a rate at all.
    """
    scores, has = decider.scores(logits), decider.labels.members(truth)
    found = {}
    for label, rate in rates.items():
        place = decider.labels.index(label)
        negative = ~has[:, place]
        allowed = int(np.floor(rate * negative.sum() + 1e-9))
        if allowed < 1:
            what = f"dev is too small for a false-positive rate of {rate:g} of {label!r}"
            expected = f"at least {int(np.ceil(1 / rate)):,} rows without the label"
            do = "bring a larger --dev file, or allow a higher rate"
            raise DataError(what, expected=expected, got=f"{negative.sum():,}", do=do)
        found[label] = place_threshold(scores[:, place], negative, allowed=allowed)
    return decider.point.with_thresholds(found)


def match_scores(logits: Logits, wanted: Logits, labels: LabelSet) -> tuple[float, Values]:
    """Give the temperature and the offsets that bring scores nearest to those wanted.

    Args:
        logits: float32 `[rows, classes]`.
        wanted: float32 `[rows, classes]`, probabilities; rows sum to 1 unless multi-label.
        labels: the classes.

    Returns:
        The temperature, above 0, and float64 `[classes]`. Note: the least mean cross-entropy of
        `wanted` against the scores of `logits / temperature + offsets`, found by Newton's method;
        a belief of one row's weight holds both at 1 and 0.
    """
    features = logits.astype(np.float64)
    goal = wanted.astype(np.float64)
    is_sigmoid = Decider(labels).is_sigmoid
    start = np.zeros(1 + features.shape[1])
    start[0] = 1.0
    current, loss = start, _loss(start, start, features, goal, is_sigmoid)
    for _ in range(_STEPS):
        step = _newton_step(current, start, features, goal, is_sigmoid)
        size = 1.0
        while size > 1e-6:
            tried = current - size * step
            tried[0] = np.clip(tried[0], _LEAST_SLOPE, _MOST_SLOPE)
            found = _loss(tried, start, features, goal, is_sigmoid)
            if found < loss:
                break
            size /= 2
        else:
            break
        is_over = loss - found < 1e-10 * len(features)
        current, loss = tried, found
        if is_over:
            break
    return 1.0 / float(current[0]), current[1:]


def refit_point(
    point: OperatingPoint,
    logits: Logits,
    *,
    original: Logits,
    truth: Classes,
    labels: LabelSet,
) -> OperatingPoint:
    """Give the operating point of a compressed form.

    A plain point of a single-label model stays plain: the best logit answers, in every engine.

    Args:
        point: the original's.
        logits: float32 `[rows, classes]`, the form's on `dev`.
        original: float32 `[rows, classes]`, the original's.
        truth: int64 `[rows]`.
        labels: the classes.

    Returns:
        Calibration and thresholds of the form; thresholds that were not declared stay absent.
    """
    if point.is_plain and not labels.is_multi_label:
        return point
    model = Decider(labels, point)
    wanted = model.scores(original)
    temperature, offsets = match_scores(logits, wanted, labels)
    own = replace(point, temperature=temperature, offsets=tuple(offsets.tolist()))
    scores = Decider(labels, own).scores(logits)
    reached, has = model.reached(wanted), labels.members(truth)
    found = {}
    for label in point.thresholds:
        place = labels.index(label)
        negative = ~has[:, place]
        allowed = int((reached[:, place] & negative).sum())
        if allowed == 0 or not negative.any():
            # No false alarm to match: the calibrated score keeps the meaning of the threshold.
            found[label] = point.thresholds[label]
            continue
        found[label] = place_threshold(scores[:, place], negative, allowed=allowed)
    return own.with_thresholds(found)


def _shares(values: Values, features: Values, is_sigmoid: bool) -> Values:
    logits = values[0] * features + values[1:]
    # A sigmoid is the softmax of the logit and 0.
    pair = np.stack([logits, np.zeros_like(logits)]) if is_sigmoid else logits[None]
    axis = 0 if is_sigmoid else 2
    powers = np.exp(pair - pair.max(axis=axis, keepdims=True))
    result: Values = (powers / powers.sum(axis=axis, keepdims=True))[0]
    return result


def _loss(values: Values, start: Values, features: Values, goal: Values, sigmoid: bool) -> float:
    logits = values[0] * features + values[1:]
    if sigmoid:
        total = np.sum(np.logaddexp(0.0, logits) - goal * logits)
    else:
        peak = logits.max(axis=1, keepdims=True)
        sums = np.log(np.exp(logits - peak).sum(axis=1)) + peak[:, 0]
        total = np.sum(sums - (goal * logits).sum(axis=1))
    return float(total + 0.5 * _RIDGE * np.sum((values - start) ** 2))


def _newton_step(
    values: Values, start: Values, features: Values, goal: Values, sigmoid: bool
) -> Values:
    shares = _shares(values, features, sigmoid)
    rest = shares - goal
    slope = np.concatenate([[np.sum(rest * features)], rest.sum(axis=0)])
    slope += _RIDGE * (values - start)
    size = len(values)
    curve = _RIDGE * np.eye(size)
    if sigmoid:
        weight = shares * (1 - shares)
        turned = weight * features
        curve[1:, 1:] += np.diag(weight.sum(axis=0))
    else:
        turned = shares * (features - (shares * features).sum(axis=1, keepdims=True))
        curve[1:, 1:] += np.diag(shares.sum(axis=0)) - shares.T @ shares
    curve[0, 0] += np.sum(turned * features)
    curve[0, 1:] += turned.sum(axis=0)
    curve[1:, 0] += turned.sum(axis=0)
    step: Values = np.linalg.solve(curve, slope)
    return step
