"""A linear model on hashed n-grams: the cheapest thing that could possibly hold the floor."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.core.clock import Clock
from thinfer.core.optional import require
from thinfer.pipeline.data import LabelledSet
from thinfer.quality.answers import measure_micro_f1
from thinfer.quality.labels import LabelSet

__all__ = ["LinearResult", "fit_linear", "fit_logistic"]

_BUCKETS = 1 << 18  # of each view of the text
# Chinese wants characters, English words as well; `dev` says which of the two a set wants.
_CHARACTERS: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (1, 3)}
_WORDS: dict[str, Any] = {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"\S+"}
_VIEWS = ((_CHARACTERS,), (_CHARACTERS, _WORDS))
_ALPHAS = (1e-6, 5e-6, 2e-5)
_PASSES = 15
_LIKELY = 0.05  # a class below this share of a soft target is left out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearResult:
    """What the linear model answers.

    Attributes:
        dev: int64 `[dev rows]`, predicted answers.
        test: int64 `[test rows]`.
        texts_per_second: measured on `test`, hashing included, one thread.
        size_bytes: its weights as float32.
        is_taught: it learned from the teacher's probabilities beside the labels.
    """

    dev: NDArray[np.int64]
    test: NDArray[np.int64]
    texts_per_second: float
    size_bytes: int
    is_taught: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fitted:
    hashers: tuple[Any, ...]
    model: Any
    is_taught: bool = False

    def answer(self, part: LabelledSet) -> NDArray[np.int64]:
        return np.asarray(self.model.predict(_hash(self.hashers, part)), dtype=np.int64)


def fit_linear(
    train: LabelledSet,
    dev: LabelledSet,
    test: LabelledSet,
    *,
    seed: int,
    clock: Clock,
    taught: NDArray[np.float32] | None = None,
    labels: LabelSet | None = None,
) -> LinearResult:
    """Fit logistic regression on hashed n-grams of characters, or of characters and words.

    Args:
        train: fits it.
        dev: chooses the views of the text, the strength of the penalty, and whether the teacher
            helps.
        test: is answered, on the clock.
        seed: of the solver's order.
        clock: times the answers.
        taught: float32 `[train rows, classes]`, a teacher's logits; rows of NaN where it was not
            asked.
        labels: of the codes in the sets; with several labels a text one model is fitted for each
            label, and micro F1 says what is best. Absent, a text has one.

    Returns:
        The answers, speed and size of the one that is best on `dev`.
    """
    sets = labels if labels is not None and labels.is_multi_label else None
    score = _share_right if sets is None else measure_micro_f1
    fitted = [each for view in _VIEWS for each in _fit_view(view, train, sets, seed=seed)]
    answers = [each.answer(dev) for each in fitted]
    best = int(np.argmax([score(each, dev.truth) for each in answers]))
    if taught is not None and np.isfinite(taught).all(axis=1).any():
        fitted.append(_fit_taught(fitted[best], train, taught, sets, seed=seed))
        answers.append(fitted[-1].answer(dev))
        best = int(np.argmax([score(each, dev.truth) for each in answers]))
    start = clock.monotonic()
    test_answers = fitted[best].answer(test)
    seconds = max(clock.monotonic() - start, 1e-9)
    return LinearResult(
        dev=answers[best],
        test=test_answers,
        texts_per_second=len(test) / seconds,
        size_bytes=int(fitted[best].model.coef_.size) * 4,
        is_taught=fitted[best].is_taught,
    )


def _fit_view(
    view: Sequence[dict[str, Any]], train: LabelledSet, sets: LabelSet | None, *, seed: int
) -> Iterator[_Fitted]:
    text = require("sklearn.feature_extraction.text")
    hashers = tuple(
        text.HashingVectorizer(n_features=_BUCKETS, alternate_sign=False, **each) for each in view
    )
    features = _hash(hashers, train)
    for alpha in _ALPHAS:
        if sets is None:
            model = fit_logistic(features, train.truth, None, alpha=alpha, seed=seed)
        else:
            members = sets.members(train.truth).astype(np.float64)
            model = _fit_each(features, members, alpha=alpha, seed=seed)
        yield _Fitted(hashers=hashers, model=model)


def _fit_taught(
    like: _Fitted,
    train: LabelledSet,
    taught: NDArray[np.float32],
    sets: LabelSet | None,
    *,
    seed: int,
) -> _Fitted:
    """Fit once more with soft targets: a row for each class that is likely, weighted by it."""
    asked = np.isfinite(taught).all(axis=1)
    features: Any = _hash(like.hashers, train)
    if sets is not None:
        shares = sets.members(train.truth).astype(np.float64)
        shares[asked] = 0.5 * shares[asked] + 0.5 / (1.0 + np.exp(-taught[asked].astype(float)))
        each = _fit_each(features, shares, alpha=like.model.alpha, seed=seed)
        return replace(like, model=each, is_taught=True)
    wanted = np.eye(taught.shape[1])[train.truth]  # [rows, classes]
    shifted = np.exp(taught[asked] - taught[asked].max(axis=1, keepdims=True))
    wanted[asked] += shifted / shifted.sum(axis=1, keepdims=True)
    wanted /= wanted.sum(axis=1, keepdims=True)
    rows, classes = np.nonzero(wanted >= _LIKELY)
    weights, alpha = wanted[rows, classes], like.model.alpha
    model = fit_logistic(features[rows], classes, weights, alpha=alpha, seed=seed)
    return replace(like, model=model, is_taught=True)


def _share_right(answers: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return float((answers == truth).mean())


class _OneForEach:
    """A logistic model for each label; where a label never changes, nothing but that."""

    def __init__(self, models: Sequence[Any], alpha: float) -> None:
        self._models = models  # a model, or the one value that the label has
        self.alpha = alpha
        weights = [each.coef_ for each in models if not isinstance(each, bool)]
        self.coef_ = np.concatenate(weights) if weights else np.zeros((0, 0))

    def predict(self, features: object) -> NDArray[np.int64]:
        """Give the sets of labels, int64 `[rows]`."""
        rows: int = features.shape[0]  # type: ignore[attr-defined]  # sparse
        codes = np.zeros(rows, dtype=np.int64)
        for place, model in enumerate(self._models):
            held = model if isinstance(model, bool) else model.predict(features).astype(np.int64)
            codes |= np.int64(1 << place) * held
        return codes


def _fit_each(
    features: Any,  # noqa: ANN401 - of an optional library
    shares: NDArray[np.float64],
    *,
    alpha: float,
    seed: int,
) -> _OneForEach:
    """Fit a model for each label on its shares `[rows, labels]`, 0 … 1: how far a row has it."""
    models: list[Any] = []
    for share in shares.T:
        rows, truth = np.nonzero(np.stack([1.0 - share, share], axis=1) >= _LIKELY)
        if len(np.unique(truth)) < 2:
            models.append(bool(truth[0]))
            continue
        weights = np.where(truth == 1, share[rows], 1.0 - share[rows])
        models.append(fit_logistic(features[rows], truth, weights, alpha=alpha, seed=seed))
    return _OneForEach(models, alpha)


def fit_logistic(
    features: object,
    truth: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    *,
    alpha: float,
    seed: int,
) -> Any:  # noqa: ANN401 - of an optional library
    """Fit a logistic model on sparse rows, in a fixed number of passes.

    Args:
        features: sparse `[rows, features]`.
        truth: int64 `[rows]`, classes.
        weights: float64 `[rows]`; all alike when None.
        alpha: strength of the penalty on large weights.
        seed: of the order of the rows.

    Returns:
        The fitted `SGDClassifier` of scikit-learn.
    """
    model = require("sklearn.linear_model").SGDClassifier(
        loss="log_loss",
        alpha=alpha,
        max_iter=_PASSES,
        tol=1e-4,
        average=True,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # It says that more passes might help; the number is fixed on purpose.
        warnings.simplefilter("ignore", require("sklearn.exceptions").ConvergenceWarning)
        return model.fit(features, truth, sample_weight=weights)


def _hash(hashers: Sequence[Any], part: LabelledSet) -> object:
    # The two texts of a pair have columns of their own: which of them says a word counts.
    sides = [part.corpus.texts, *([part.corpus.pairs] if part.corpus.pairs is not None else [])]
    columns = [each.transform(texts) for texts in sides for each in hashers]
    return require("scipy.sparse").hstack(columns).tocsr()
