"""Whether today's texts and answers are still like those that a model was measured on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.quality.operating import Decider

__all__ = ["Profile", "Shift", "TextFacts", "build_profile", "compare_facts", "read_facts"]

Counts = NDArray[np.int64]

# Borders between cells; a value on a border belongs to the cell above it. Those of confidence stand
# where there is no profile; a profile brings its own, for models differ (docs/why/26).
EDGES: Mapping[str, tuple[float, ...]] = {
    "confidence": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999),
    "length": (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512),
    "unknown_rate": (1e-9, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
}
LEAST_TEXTS = 100  # fewer say nothing
MODERATE, LARGE = 0.1, 0.25  # the usual marks for this index
CHANCE = 0.99
# Borders of confidence stand at least this far apart in log-odds: other machines round otherwise.
LEAST_STEP, MOST_ODDS = 0.1, 16.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextFacts:
    """What is known of texts and their answers, without the texts.

    Attributes:
        label: int64 `[texts]`, the best class.
        confidence: float64 `[texts]`, its score, 0 … 1; NaN where another model answered.
        length: float64 `[texts]`, tokens.
        unknown_rate: float64 `[texts]`, share of tokens that the vocabulary does not know.
    """

    label: Counts
    confidence: NDArray[np.float64]
    length: NDArray[np.float64]
    unknown_rate: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Histograms of the texts that a bundle was measured on; no text.

    Attributes:
        source: which texts they were: `dev` or `calibrate`.
        engine: that answered.
        precision: of that engine.
        texts: how many.
        labels: of the model.
        edges: quantity → borders between its cells, rising.
        counts: quantity → texts in each cell; `label` → texts of each label.
        mean_confidence: 0 … 1.
    """

    KIND: ClassVar[str] = "thinfer.profile"
    VERSION: ClassVar[int] = 1

    source: str
    engine: str
    precision: str
    texts: int
    labels: tuple[str, ...]
    edges: Mapping[str, tuple[float, ...]]
    counts: Mapping[str, tuple[int, ...]]
    mean_confidence: float

    def __post_init__(self) -> None:
        cells = {name: len(edges) + 1 for name, edges in self.edges.items()}
        cells["label"] = len(self.labels)
        good = (
            set(self.edges) == set(EDGES)
            and set(self.counts) == set(cells)
            and all(bool(np.all(np.diff(edges) > 0)) for edges in self.edges.values())
            and all(len(self.counts[name]) == number for name, number in cells.items())
            and all(sum(row) == self.texts and min(row) >= 0 for row in self.counts.values())
            and self.texts > 0
            and 0 <= self.mean_confidence <= 1
        )
        if not good:
            what = "the profile of a bundle contradicts itself"
            expected = f"the quantities {sorted(cells)}, each with every text in one cell"
            raise DataError(what, expected=expected, got=f"{self.texts} texts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How far one quantity has moved.

    Attributes:
        psi: population stability index, at least 0; None where there is nothing to compare.
        chance: what the index stays below in 99 of 100 windows of unchanged texts.
        verdict: `stable`, `moderate` (0.1 and more), `large` (0.25 and more), `too_few` live
            texts, or `absent`: nothing was stored. What chance explains is `stable`.
        edges: borders between the cells; none for labels and flags.
        stored: texts in each cell of the profile; None where absent.
        live: texts in each cell now.
    """

    psi: float | None
    chance: float | None
    verdict: Literal["stable", "moderate", "large", "too_few", "absent"]
    edges: tuple[float, ...]
    stored: tuple[int, ...] | None
    live: tuple[int, ...]


def read_facts(
    logits: NDArray[np.float32],
    *,
    lengths: Counts,
    unknown: Counts,
    decider: Decider,
) -> TextFacts:
    """Give the facts of texts from what an engine and a tokenizer said of them.

    Args:
        logits: float32 `[texts, classes]`, finite.
        lengths: int64 `[texts]`, tokens.
        unknown: int64 `[texts]`, unknown tokens.
        decider: how the logits are read.
    """
    best = decider.lead(decider.scores(logits))
    wide = decider.adjust(logits).astype(np.float64)
    own = np.take_along_axis(wide, best[:, None], axis=1)[:, 0]
    if decider.is_sigmoid:
        confidence = 1.0 / (1.0 + np.exp(-np.clip(own, -700, 700)))
    else:
        top = wide.max(axis=1, initial=-np.inf)
        confidence = np.exp(own - top) / np.exp(wide - top[:, None]).sum(axis=1)
    return TextFacts(
        label=best.astype(np.int64),
        confidence=confidence,
        length=lengths.astype(np.float64),
        unknown_rate=unknown / np.maximum(1, lengths),
    )


def build_profile(
    facts: TextFacts, labels: Sequence[str], *, source: str, engine: str, precision: str
) -> Profile:
    """Give the histograms of texts.

    Args:
        facts: of at least one text.
        labels: of the model, in the order of the logits.
        source: which texts they are.
        engine: that answered.
        precision: of that engine.

    Raises:
        DataError: there is no text.
    """
    edges = {**EDGES, "confidence": _place_edges(facts.confidence)}
    counts = {name: _count(getattr(facts, name), edges[name]) for name in EDGES}
    counts["label"] = np.bincount(facts.label, minlength=len(labels))
    return Profile(
        source=source,
        engine=engine,
        precision=precision,
        texts=len(facts),
        labels=tuple(labels),
        edges=edges,
        counts={name: tuple(row.tolist()) for name, row in counts.items()},
        mean_confidence=float(facts.confidence.mean()) if len(facts) else 0.0,
    )


def compare_facts(
    facts: TextFacts,
    labels: Sequence[str],
    *,
    normal_label: str | None,
    profile: Profile | None,
) -> dict[str, Shift]:
    """Hold live texts against a profile.

    Args:
        facts: of the live texts; none at all is allowed.
        labels: of the model that answered.
        normal_label: the label that is no finding; without it there is no `flag`.
        profile: of the texts that the bundle was measured on, if there is one.

    Returns:
        `confidence`, `length`, `unknown_rate`, `label`, and `flag` (cells: not flagged, flagged).
    """
    stored = (
        {} if profile is None else {name: np.array(row) for name, row in profile.counts.items()}
    )
    edges = EDGES if profile is None else profile.edges
    live = {name: _count(getattr(facts, name), edges[name]) for name in EDGES}
    live["label"] = np.bincount(facts.label, minlength=len(labels))
    if profile is not None and profile.labels != tuple(labels):
        del stored["label"]  # another set of labels: nothing to hold the live ones against
    if normal_label is not None:
        place = list(labels).index(normal_label)
        live["flag"] = _flag(live["label"], place)
        if "label" in stored:
            stored["flag"] = _flag(stored["label"], place)
    return {name: _shift(stored.get(name), row, edges.get(name, ())) for name, row in live.items()}


def compute_psi(expected: Counts, actual: Counts) -> tuple[float, float]:
    """Give the population stability index of two histograms, and what chance alone can make of it.

    Args:
        expected: int64 `[cells]`, at least one text.
        actual: int64 `[cells]`, at least one text.

    Returns:
        `(psi, chance)`; chance is the 99 % quantile for two samples of one distribution.

    Note:
        Σ (a − e)·ln(a / e) over the cells' shares; cells that both leave empty do not count, and
        each other cell gets half a text more, so that an empty one does not make the index
        infinite. Under one distribution, psi / (1/n + 1/m) is about χ² with cells − 1 degrees
        (B. Yurdakul, Statistical Properties of Population Stability Index, 2018); the quantile
        of χ² by Wilson and Hilferty, 1931.
    """
    used = (expected + actual) > 0
    before, now = expected[used] + 0.5, actual[used] + 0.5
    shares, seen = before / before.sum(), now / now.sum()
    psi = float(((seen - shares) * np.log(seen / shares)).sum())
    degrees = int(used.sum()) - 1
    if degrees < 1:
        return psi, 0.0
    spread = 2 / (9 * degrees)
    root = 1 - spread + NormalDist().inv_cdf(CHANCE) * math.sqrt(spread)
    return psi, degrees * root**3 * float(1 / expected.sum() + 1 / actual.sum())


def _place_edges(confidence: NDArray[np.float64]) -> tuple[float, ...]:
    """Borders that cut the texts into tenths, as far as these are apart; none for no text.

    Each stands half a step below its quantile, so that no border cuts through equal answers.
    """
    if not len(confidence):
        return ()
    with np.errstate(divide="ignore"):
        odds = np.clip(np.log(confidence) - np.log1p(-confidence), -MOST_ODDS, MOST_ODDS)
    kept: list[float] = []
    for border in np.quantile(odds, np.arange(1, 10) / 10).tolist():
        if not kept or border >= kept[-1] + LEAST_STEP:
            kept.append(border)
    below = np.array(kept) - LEAST_STEP / 2
    return tuple((1.0 / (1.0 + np.exp(-below))).tolist())


def _shift(stored: Counts | None, live: Counts, edges: tuple[float, ...]) -> Shift:
    cells = {"edges": tuple(edges), "live": tuple(live.tolist())}
    if stored is None:
        return Shift(psi=None, chance=None, verdict="absent", stored=None, **cells)
    kept = tuple(stored.tolist())
    if live.sum() < LEAST_TEXTS:
        return Shift(psi=None, chance=None, verdict="too_few", stored=kept, **cells)
    psi, chance = compute_psi(stored, live)
    verdict: Literal["stable", "moderate", "large"] = "stable"
    if psi > max(chance, MODERATE):
        verdict = "moderate" if psi < LARGE else "large"
    return Shift(psi=psi, chance=chance, verdict=verdict, stored=kept, **cells)


def _flag(labels: Counts, normal: int) -> Counts:
    """Texts without and with a flag, int64 `[2]`."""
    return np.array([labels[normal], labels.sum() - labels[normal]], dtype=np.int64)


def _count(values: NDArray[np.float64], edges: Sequence[float]) -> Counts:
    """Texts in each cell, int64 `[edges + 1]`; NaN lies in none."""
    values = values[~np.isnan(values)]
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
