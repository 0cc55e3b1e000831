"""A gate before the engine: texts that it knows well enough never reach the queue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thinfer.bundle.gate import Gate
from thinfer.classifier import Classifier
from thinfer.errors import DataError
from thinfer.quality.cascade import CascadePolicy
from thinfer.serve.cascade import Relay
from thinfer.serve.observe import Metrics
from thinfer.serve.settings import ServeSettings

__all__ = ["GateStage", "open_gate"]


class GateStage:
    """Answers a request where the gate is sure of every text of it.

    Args:
        gate: a linear model on hashed n-grams.
        policy: how sure it must be, and for which bundle.
        metrics: where texts are counted by outcome.
    """

    def __init__(self, gate: Gate, policy: CascadePolicy, *, metrics: Metrics) -> None:
        self._gate, self._policy, self._metrics = gate, policy, metrics

    def answer(
        self, classifier: Classifier, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> Relay | None:
        """Give the answer of a request, or None where the engine shall give it.

        Args:
            classifier: the bundle behind the gate.
            texts: at least one.
            pairs: a gate knows nothing of pairs.
        """
        version = classifier.bundle.manifest.content_digest
        if pairs is not None or version != self._policy.big.version:
            return None
        logits = self._gate.logits(texts)
        is_sure = not self._policy.goes_on(logits).any()
        self._metrics.gate.labels("answered" if is_sure else "passed").inc(len(texts))
        if not is_sure:
            return None
        self._metrics.texts.inc(len(texts))
        order = [self._gate.labels.index(label) for label in classifier.labels]
        none = np.zeros(len(texts), dtype=np.bool_)
        return Relay(
            logits=logits[:, order], cloud=none, degraded=none, cloud_version="", home="gate"
        )


def open_gate(
    classifier: Classifier, settings: ServeSettings, *, metrics: Metrics
) -> GateStage | None:
    """Read a gate and its policy; None where none is asked for.

    Args:
        classifier: the bundle behind it.
        settings: of the service.
        metrics: where texts are counted.

    Raises:
        DataError: the policy was made for another gate or another bundle.
    """
    if settings.gate is None or settings.gate_policy is None:
        return None
    gate, digest = Gate.read(settings.gate)
    policy = CascadePolicy.read(settings.gate_policy)
    policy.check_small(digest)
    policy.check_big(classifier.bundle.manifest.content_digest)
    if set(gate.labels) != set(classifier.labels):
        what = "the gate does not have the labels of the bundle"
        raise DataError(what, expected=str(sorted(classifier.labels)), got=str(sorted(gate.labels)))
    return GateStage(gate, policy, metrics=metrics)
