"""Policies and upstreams for tests of the cascade."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from thinfer.bundle import Bundle
from thinfer.classifier import Classifier
from thinfer.quality.cascade import CascadePolicy, CascadeStage, score_confidence
from thinfer.serve.ticket import Logits
from thinfer.text.long_text import HEAD, LongText

ALWAYS, NEVER = 1.0, 0.0  # thresholds under which every text, or none, goes on


def make_policy(
    small: Bundle | None = None, big: Bundle | None = None, *, threshold: float = 0.9
) -> CascadePolicy:
    """A policy between two bundles; of bundles that exist nowhere when absent."""
    versions = [
        digit * 64 if bundle is None else bundle.manifest.content_digest
        for digit, bundle in (("a", small), ("b", big))
    ]
    labels = ("normal", "spam", "abuse") if small is None else small.manifest.labels
    stages = [CascadeStage(version=each, engine="fake", precision="fp32") for each in versions]
    return CascadePolicy(
        small=stages[0],
        big=stages[1],
        labels=labels,
        temperature=1.0,
        threshold=threshold,
        floors=("accuracy>=99.5%",),
        dev={"verdict": "holds", "n": 1000, "cloud_share": 0.5},
    )


def middle_threshold(classifier: Classifier, texts: Sequence[str]) -> float:
    """A threshold that cuts texts into two halves."""
    return float(np.median(score_confidence(classifier.logits(texts), 1.0)))


class StubUpstream:
    """Answers through a function of the texts, or as it raises; `asked` holds what came."""

    def __init__(self, answer: Callable[[Sequence[str]], Logits]) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []
        self.long_text: LongText | None = None
        self.is_started = self.is_stopped = False

    @property
    def version(self) -> str:
        return "b" * 12

    def start(self) -> None:
        self.is_started = True

    async def ask(
        self, texts: Sequence[str], pairs: Sequence[str] | None, *, long_text: LongText = HEAD
    ) -> Logits:
        del pairs
        self.asked.append(list(texts))
        self.long_text = long_text
        return self.answer(texts)

    async def stop(self) -> None:
        self.is_stopped = True
