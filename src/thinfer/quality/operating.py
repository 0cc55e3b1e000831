"""`OperatingPoint`: what lies between logits and an answer: thresholds, priority, calibration.

A label with a threshold is answered as soon as its score reaches it, however high another score
is: that is how a moderation service is run, where a miss and a false alarm cost differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import UserError
from thinfer.quality.labels import LabelSet

__all__ = ["Decider", "OperatingPoint", "parse_operating_point", "to_scores"]

Logits = NDArray[np.float32]
Classes = NDArray[np.int64]

_EVEN = 0.5  # threshold of a label of its own where nobody says otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """How the logits of one model are read; without thresholds, the best score wins.

    Attributes:
        thresholds: label → the score, 0 … 1, from which it is answered.
        priority: of the labels that reach their threshold, the first of these wins, or of a
            multi-label answer leads; else the one with the best score.
        temperature: logits are divided by it first, above 0.
        offsets: added to the divided logits, one a label; none when empty.
    """

    KIND: ClassVar[str] = "thinfer.operating-point"
    VERSION: ClassVar[int] = 1

    thresholds: Mapping[str, float] = field(default_factory=dict)
    priority: tuple[str, ...] = ()
    temperature: float = 1.0
    offsets: tuple[float, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the logits are read as they are, without a threshold."""
        return self == OperatingPoint()

    def with_thresholds(self, thresholds: Mapping[str, float]) -> OperatingPoint:
        """Give the point with some thresholds set anew.

        Args:
            thresholds: label → score; other labels keep theirs.
        """
        return replace(self, thresholds={**self.thresholds, **thresholds})


@dataclass(frozen=True, slots=True)
class Decider:
    """Turns logits into scores and answers: the labels of a model and how it is operated.

    Attributes:
        labels: the classes.
        point: how the logits are read.
    """

    labels: LabelSet
    point: OperatingPoint = OperatingPoint()

    def __post_init__(self) -> None:
        point, names = self.point, self.labels.names
        for label, threshold in point.thresholds.items():
            _require_label(label, names, "the threshold")
            if not 0.0 <= threshold <= 1.0:
                what = f"the threshold of {label!r} is outside 0 … 1"
                raise UserError(what, expected="a score, 0 … 1", got=f"{threshold:g}")
        is_single = not self.labels.is_multi_label
        if is_single and len(names) > 1 and self.labels.normal in point.thresholds:
            what = f"the normal label {self.labels.normal!r} has a threshold"
            expected = "thresholds of the other labels: it is what stays where none is reached"
            raise UserError(what, expected=expected)
        for label in point.priority:
            _require_label(label, names, "the priority")
        if len(set(point.priority)) < len(point.priority):
            what = "the priority names a label twice"
            raise UserError(what, got=", ".join(point.priority))
        if not 0.0 < point.temperature < np.inf or not np.isfinite(point.offsets).all():
            what = "the calibration of the scores is impossible"
            expected = "a temperature above 0 and finite offsets"
            raise UserError(what, expected=expected, got=f"{point.temperature}, {point.offsets}")
        if point.offsets and len(point.offsets) != len(names):
            what = "the offsets do not fit the labels"
            raise UserError(what, expected=f"{len(names)}", got=f"{len(point.offsets)}")
        if len(names) > 1 and not self.labels.is_multi_label and not self._rest:
            what = "every label has a threshold, so that nothing is left where none is reached"
            do = "leave the normal label without one"
            raise UserError(what, expected="a label without a threshold", do=do)

    def adjust(self, logits: Logits) -> Logits:
        """Give calibrated logits.

        Args:
            logits: float32 `[rows, classes]`.

        Returns:
            float32 `[rows, classes]`; the same array where the point does not calibrate.
        """
        point = self.point
        if point.temperature != 1.0:
            logits = logits / np.float32(point.temperature)
        if point.offsets:
            logits = logits + np.asarray(point.offsets, dtype=np.float32)
        return logits

    def scores(self, logits: Logits) -> Logits:
        """Give the score of every label, 0 … 1.

        Args:
            logits: float32 `[rows, classes]`, finite.

        Returns:
            float32 `[rows, classes]`: softmax, or for labels of their own the sigmoid.
        """
        return to_scores(self.adjust(logits), is_sigmoid=self.is_sigmoid)

    @property
    def is_sigmoid(self) -> bool:
        """Whether each label has a score of its own; so has a model of one label."""
        return self.labels.is_multi_label or len(self.labels) == 1

    def answer(self, logits: Logits) -> Classes:
        """Give the answers.

        Args:
            logits: float32 `[rows, classes]`.

        Returns:
            int64 `[rows]`: a class, or for multi-label models a set of labels as bits.
        """
        if not self.labels.is_multi_label and not self.point.thresholds:
            best: Classes = self.adjust(logits).argmax(axis=1)
            return best
        scores = self.scores(logits)
        if self.labels.is_multi_label:
            return self.labels.encode_members(self.reached(scores))
        return self.lead(scores)

    def reached(self, scores: Logits) -> NDArray[np.bool_]:
        """Say which labels reach their threshold; in single-label models those without never do.

        Args:
            scores: float32 `[rows, classes]`.

        Returns:
            bool `[rows, classes]`.
        """
        return scores >= self._levels()

    def lead(self, scores: Logits) -> Classes:
        """Give the one label that an answer is named by.

        Of the labels that reach their threshold, the first of the priority, else the one with the
        best score; the normal label only where no other does. Where none reaches it: in
        single-label models the best of those without a threshold; in multi-label models the
        normal label, or where there is none the best.

        Args:
            scores: float32 `[rows, classes]`.

        Returns:
            int64 `[rows]`, classes.
        """
        labels = self.labels
        if not labels.is_multi_label and not self.point.thresholds:
            best: Classes = scores.argmax(axis=1)
            return best
        normal = None if labels.normal is None else labels.index(labels.normal)
        if not labels.is_multi_label:
            is_open = np.isin(np.arange(len(labels)), self._rest)
            found = np.where(is_open, scores, -1.0).argmax(axis=1)
        elif normal is not None:
            found = np.full(len(scores), normal)
        else:
            found = scores.argmax(axis=1)
        reached = self.reached(scores)
        if normal is not None:
            reached[:, normal] = False
        found = np.where(reached.any(axis=1), np.where(reached, scores, -1.0).argmax(axis=1), found)
        for label in reversed(self.point.priority):
            place = labels.index(label)
            found = np.where(reached[:, place], place, found)
        return np.asarray(found, dtype=np.int64)

    def _levels(self) -> NDArray[np.float32]:
        absent = _EVEN if self.is_sigmoid else np.inf
        levels = [self.point.thresholds.get(name, absent) for name in self.labels.names]
        return np.asarray(levels, dtype=np.float32)

    @property
    def _rest(self) -> list[int]:
        names = self.labels.names
        return [place for place, name in enumerate(names) if name not in self.point.thresholds]


def to_scores(logits: Logits, *, is_sigmoid: bool) -> Logits:
    """Turn logits into scores, by the formulas of the transformers pipeline.

    Args:
        logits: float32 `[rows, classes]`, finite.
        is_sigmoid: a sigmoid for each label in place of a softmax.

    Returns:
        float32 `[rows, classes]`, 0 … 1.
    """
    if is_sigmoid:
        with np.errstate(over="ignore"):  # exp(-x) → inf gives the right 0
            return np.float32(1.0) / (np.float32(1.0) + np.exp(-logits))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Logits = powers / powers.sum(axis=1, keepdims=True)
    return result


def parse_operating_point(
    thresholds: Sequence[str], priority: str | None, labels: LabelSet
) -> OperatingPoint:
    """Read `spam=0.8` of `--threshold`, and `violence,spam` of `--priority`.

    Args:
        thresholds: `LABEL=SCORE` each; a label may contain `=`.
        priority: labels, separated by commas.
        labels: the classes.

    Returns:
        The point, checked against the labels.

    Raises:
        UserError: no such form or label, a label twice, a score that is none.
    """
    read: dict[str, float] = {}
    for text in thresholds:
        label, _, number = text.rpartition("=")
        try:
            score = float(number)
        except ValueError:
            score = np.nan
        if not label or np.isnan(score):
            what = "a threshold cannot be read"
            raise UserError(what, expected="LABEL=SCORE, for example spam=0.8", got=text)
        if label in read:
            what = f"the label {label!r} has two thresholds"
            raise UserError(what, got=text, do="give one")
        read[label] = score
    names = tuple(name.strip() for name in priority.split(",")) if priority else ()
    return Decider(labels, OperatingPoint(thresholds=read, priority=names)).point


def _require_label(label: str, names: Sequence[str], part: str) -> None:
    if label not in names:
        what = f"{part} names {label!r}, which is not a label of this model"
        raise UserError(what, expected=f"one of {list(names)}")
