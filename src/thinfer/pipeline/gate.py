"""`fit-gate`: a linear model on hashed n-grams that learns the answers of a bundle."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle.gate import SEEN_BITS, Gate, GateFacts, find_features
from thinfer.classifier import Classifier
from thinfer.core.optional import require
from thinfer.core.progress import Progress
from thinfer.errors import UserError
from thinfer.pipeline.linear import fit_logistic
from thinfer.text.corpus import Corpus
from thinfer.text.ngrams import hash_ngrams

__all__ = ["fit_gate", "require_plain", "run_corpus"]

_FEWEST_LABELS = 2

BUCKETS = 1 << 18
WIDTHS = (1, 2)
_ALPHA = 5e-6
_LIKELY = 0.05  # a class below this share of an answer is left out
_BATCH = 32


def fit_gate(
    bundle: Path,
    corpus: Corpus,
    *,
    seed: int,
    threads: int | None,
    progress: Progress,
    widths: tuple[int, ...] = WIDTHS,
    known: tuple[int, ...] = WIDTHS,
) -> Gate:
    """Ask a bundle for its answers and fit logistic regression to them.

    Args:
        bundle: whose answers are learned; labels of the text are not looked at.
        corpus: single texts.
        seed: of the solver's order.
        threads: of one engine call.
        progress: told of the batches.
        widths: characters of the n-grams that count.
        known: of each of these widths, all n-grams of a text must stand in the corpus, or the gate
            gives no answer.

    Returns:
        The gate.

    Raises:
        UserError: the text has pairs.
    """
    if corpus.pairs is not None:
        what = "a gate reads single texts"
        raise UserError(what, got="text pairs")
    with Classifier.open(bundle, threads=threads) as classifier:
        require_plain(classifier)
        manifest = classifier.bundle.manifest
        taught = run_corpus(classifier, corpus, f"run {bundle}", progress)
    facts = GateFacts(
        labels=manifest.labels, widths=widths, known=known, model=manifest.content_digest
    )
    hashes = [hash_ngrams(text, widths) for text in corpus.texts]
    weights, bias = _fit(hashes, taught, seed=seed)
    seen = _mark_seen(hash_ngrams(text, known) for text in corpus.texts)
    return Gate(facts=facts, weights=weights, bias=bias, seen=seen)


def require_plain(classifier: Classifier) -> None:
    """Let pass a bundle that answers with the best of several labels.

    Args:
        classifier: of the bundle.

    Raises:
        UserError: it gives several labels a text, or has thresholds: then the best score does not
            say how sure it is of its answer.
    """
    labels, point = classifier.decider.labels, classifier.decider.point
    if labels.is_multi_label or len(labels) < _FEWEST_LABELS or not point.is_plain:
        what = f"'{classifier.bundle.path}' cannot take part in a cascade"
        expected = "one label of two or more for each text, the best one, without thresholds"
        raise UserError(what, expected=expected)


def run_corpus(
    classifier: Classifier, corpus: Corpus, name: str, progress: Progress
) -> NDArray[np.float32]:
    """Give the logits of a corpus, float32 `[rows, classes]`.

    Args:
        classifier: whose logits.
        corpus: the texts.
        name: of the task that is told.
        progress: told of the batches.
    """
    encode = classifier.tokenizer.encode
    encoded = encode(corpus.texts, corpus.pairs, long_text=classifier.long_text)
    batch = encoded.batch
    order = np.argsort(batch.lengths, kind="stable")  # little padding
    logits = np.empty((len(batch), len(classifier.labels)), dtype=np.float32)
    with progress.task(name, len(batch)) as advance:
        for start in range(0, len(batch), _BATCH):
            rows = order[start : start + _BATCH]
            logits[rows] = classifier.run_batch(batch.select(rows))
            advance(len(rows))
    return classifier.pool(logits, encoded)


def _fit(
    hashes: list[NDArray[np.uint32]], taught: NDArray[np.float32], *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit soft answers: a row for each class that is likely, weighted by its probability."""
    parts = [find_features(each, BUCKETS) for each in hashes]
    ends = np.concatenate([[0], np.cumsum([len(places) for places, _ in parts])])
    columns = np.concatenate([places for places, _ in parts])
    values = np.concatenate([each for _, each in parts])
    features = require("scipy.sparse").csr_matrix(
        (values, columns, ends), shape=(len(parts), BUCKETS)
    )
    powers = np.exp(taught - taught.max(axis=1, keepdims=True))
    chances = powers / powers.sum(axis=1, keepdims=True)
    rows, classes = np.nonzero(chances >= _LIKELY)
    weights = chances[rows, classes]
    model = fit_logistic(features[rows], classes, weights, alpha=_ALPHA, seed=seed)
    return _spread(model.coef_, model.intercept_, model.classes_, taught.shape[1])


def _spread(
    coefficients: NDArray[np.float64],
    intercepts: NDArray[np.float64],
    found: NDArray[np.int64],
    classes: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give weights `[buckets, classes]` and a bias; a class that no answer had is out of reach."""
    if len(found) == 2:  # scikit-learn gives the second class alone
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([[0.0], intercepts])
    weights = np.zeros((BUCKETS, classes), dtype=np.float32)
    bias = np.full(classes, -1e4, dtype=np.float32)
    weights[:, found] = coefficients.T
    bias[found] = intercepts
    return weights, bias


def _mark_seen(hashes: Iterable[NDArray[np.uint32]]) -> NDArray[np.uint8]:
    bits = np.zeros(SEEN_BITS, dtype=np.uint8)
    for each in hashes:
        bits[each & np.uint32(SEEN_BITS - 1)] = 1
    return np.packbits(bits, bitorder="little")
