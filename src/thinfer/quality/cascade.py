"""`CascadePolicy`: when a small model answers for a bigger one, frozen with what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from thinfer.core.codec import from_json, to_json
from thinfer.core.files import write_atomic
from thinfer.errors import DataError, at

__all__ = ["CascadePolicy", "CascadeStage", "score_confidence"]

_MOST_BYTES = 1 << 20


def score_confidence(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Give the probability of the best class, the maximum softmax after a temperature.

    Hendrycks and Gimpel 2017 (arXiv 1610.02136) use it to tell right answers from wrong ones;
    the temperature (Guo et al. 2017, arXiv 1706.04599) changes the order of texts only where
    there are more than two classes.

    Args:
        logits: float32 `[rows, classes]`.
        temperature: above 0.

    Returns:
        float64 `[rows]`, 1 / classes … 1; NaN where a logit is not finite.
    """
    with np.errstate(invalid="ignore"):
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        scores: NDArray[np.float64] = 1.0 / np.exp(shifted / temperature).sum(axis=1)
    return scores


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeStage:
    """One of the two models, as it ran while the threshold was chosen.

    Attributes:
        version: the bundle's content digest, 64 hex digits; of a gate the SHA-256 of its file.
        engine: that computed the logits.
        precision: of that engine.
    """

    version: str
    engine: str
    precision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadePolicy:
    """When the small model's answer is good enough, and what showed that.

    Attributes:
        small: answers first.
        big: is asked where the small model's score is below the threshold.
        labels: names of the classes, in the order of the small model's logits.
        score: kind of score; the maximum softmax after a temperature.
        temperature: of the small model's logits.
        threshold: a text whose score is at least this one is answered by the small model;
            0 … 1, where 0 means that no text goes on.
        floors: the demands on the cascade, relative to the big model, as they were written.
        normal_label: the label that is no finding, if one was named.
        dev: what was measured on the rows that chose the threshold.
        test: the same on rows that took no part; absent where none were given.
        created: ISO 8601 in UTC.
    """

    KIND: ClassVar[str] = "thinfer.cascade"
    VERSION: ClassVar[int] = 1

    small: CascadeStage
    big: CascadeStage
    labels: tuple[str, ...]
    score: Literal["max_softmax"] = "max_softmax"
    temperature: float
    threshold: float
    floors: tuple[str, ...]
    normal_label: str | None = None
    dev: Mapping[str, Any]
    test: Mapping[str, Any] | None = None
    created: str = ""

    def __post_init__(self) -> None:
        good = 0.0 <= self.threshold <= 1.0 and self.temperature > 0.0 and len(self.labels) > 1
        if not good or len(set(self.labels)) != len(self.labels):
            what = "the cascade policy contradicts itself"
            expected = "a threshold in 0 … 1, a temperature above 0, two labels or more, none twice"
            got = f"{self.threshold}, {self.temperature}, {len(self.labels)} labels"
            raise DataError(what, expected=expected, got=got)

    def goes_on(self, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Say which texts the big model should answer, bool `[rows]`.

        Args:
            logits: float32 `[rows, classes]`, the small model's.
        """
        return ~(score_confidence(logits, self.temperature) >= self.threshold)

    def write(self, path: Path) -> None:
        """Write the policy as JSON, whole or not at all.

        Args:
            path: the file; its folder is made.
        """
        text = json.dumps(to_json(self), indent=2, ensure_ascii=False, allow_nan=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, f"{text}\n")

    @classmethod
    def read(cls, path: Path) -> CascadePolicy:
        """Read a policy.

        Args:
            path: the file.

        Raises:
            DataError: the file is absent, too large, no JSON, of another kind or version, or
                contradicts itself.
        """
        with at(file=path):
            try:
                with path.open("rb") as stream:
                    raw = stream.read(_MOST_BYTES + 1)
                body = json.loads(raw) if len(raw) <= _MOST_BYTES else None
            except (OSError, ValueError, RecursionError) as error:
                what = "the cascade policy cannot be read"
                do = "make one with `thinfer calibrate-cascade`"
                raise DataError(what, got=str(error), do=do) from error
            return from_json(cls, body)

    def check_small(self, version: str) -> None:
        """Let pass the bundle that the threshold was chosen for.

        Args:
            version: content digest of the bundle that will answer first.

        Raises:
            DataError: it is another bundle.
        """
        _check_stage("small model", self.small.version, version)

    def check_big(self, version: str) -> None:
        """Let pass the bundle that the floors are relative to.

        Args:
            version: content digest of the bundle that will be asked.

        Raises:
            DataError: it is another bundle.
        """
        _check_stage("big model", self.big.version, version)


def _check_stage(which: str, expected: str, got: str) -> None:
    if got != expected:
        what = f"the cascade policy was made for another {which}"
        do = "name the one that it was made for, or run `thinfer calibrate-cascade` again"
        raise DataError(what, expected=expected[:12], got=got[:12], do=do)
