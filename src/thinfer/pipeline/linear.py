"""A linear model on hashed n-grams: the cheapest thing that could possibly hold the floor."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.core.clock import Clock
from thinfer.core.optional import require
from thinfer.pipeline.data import LabelledSet

__all__ = ["LinearResult", "fit_linear"]

_BUCKETS = 1 << 18
_NGRAMS = (1, 3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearResult:
    """What the linear model answers.

    Attributes:
        dev: int64 `[dev rows]`, predicted classes.
        test: int64 `[test rows]`.
        texts_per_second: measured on `test`, hashing included, one thread.
        size_bytes: its weights as float32.
    """

    dev: NDArray[np.int64]
    test: NDArray[np.int64]
    texts_per_second: float
    size_bytes: int


def fit_linear(
    train: LabelledSet, dev: LabelledSet, test: LabelledSet, *, seed: int, clock: Clock
) -> LinearResult:
    """Fit logistic regression on hashed character n-grams (1 to 3, within words).

    Args:
        train: fits it.
        dev: is answered.
        test: is answered, on the clock.
        seed: of the solver's order.
        clock: times the answers.

    Returns:
        Its answers, speed and size.
    """
    text = require("sklearn.feature_extraction.text")
    linear = require("sklearn.linear_model")
    hasher = text.HashingVectorizer(
        analyzer="char_wb", ngram_range=_NGRAMS, n_features=_BUCKETS, alternate_sign=False
    )
    model = linear.SGDClassifier(
        loss="log_loss", alpha=1e-6, max_iter=30, random_state=seed, early_stopping=False, tol=1e-4
    )
    with warnings.catch_warnings():
        # It says that more passes might help; this is a yardstick with a fixed budget.
        warnings.simplefilter("ignore", require("sklearn.exceptions").ConvergenceWarning)
        model.fit(hasher.transform(_joined(train)), train.truth)
    start = clock.monotonic()
    answers = model.predict(hasher.transform(_joined(test)))
    seconds = max(clock.monotonic() - start, 1e-9)
    return LinearResult(
        dev=np.asarray(model.predict(hasher.transform(_joined(dev))), dtype=np.int64),
        test=np.asarray(answers, dtype=np.int64),
        texts_per_second=len(test) / seconds,
        size_bytes=int(model.coef_.size) * 4,
    )


def _joined(part: LabelledSet) -> Sequence[str]:
    pairs = part.corpus.pairs
    if pairs is None:
        return part.corpus.texts
    return [f"{first}\t{second}" for first, second in zip(part.corpus.texts, pairs, strict=True)]
