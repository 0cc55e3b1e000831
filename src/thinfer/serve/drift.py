"""Live histograms of texts and answers, beside those that the bundle brings; no text is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from thinfer.bundle import Bundle
from thinfer.classifier import Classifier
from thinfer.core.codec import to_json
from thinfer.errors import DataError
from thinfer.quality.drift import Profile, TextFacts, compare_facts, read_facts
from thinfer.serve.ticket import Logits
from thinfer.text.tokenizer import Encoding

__all__ = ["DriftWatch"]

FLUSH_TEXTS = 256
QUANTITIES = ("label", "confidence", "length", "unknown_rate")


class DriftWatch(Collector):
    """The last texts of each version that answers; a closed version takes its window with it.

    Args:
        window: texts that are looked back on, for each version; 0 watches nothing.
    """

    def __init__(self, *, window: int) -> None:
        self._size = window
        self._windows: WeakKeyDictionary[Classifier, _Window] = WeakKeyDictionary()

    def observe(
        self,
        classifier: Classifier,
        logits: Logits,
        encoded: Encoding,
        *,
        is_engine: bool = True,
    ) -> None:
        """Take in one answered request.

        Args:
            classifier: that answered.
            logits: float32 `[texts, classes]`.
            encoded: the texts as they were run; only lengths and unknown tokens are kept.
            is_engine: whether the version's engine gave the logits; a gate's label counts, its
                confidence does not, for it is another model's.
        """
        if self._size:
            self._window_of(classifier).add(logits, encoded, is_engine)

    def report(self, classifier: Classifier) -> dict[str, Any]:
        """Give live against stored histograms of a version, as JSON."""
        return {"version": classifier.version, **self._window_of(classifier).report()}

    def collect(self) -> Iterator[Metric]:
        """Give the figures of all versions to Prometheus.

        Sums and not means, so that the figures of several processes add up; the index cannot.
        """
        labels = ["version"]
        families = {
            name: GaugeMetricFamily(f"thinfer_{name}", text, labels=labels)
            for name, text in {
                "drift_texts": "Texts that the live histograms hold",
                "drift_engine_texts": "Those of these texts that the version's engine answered",
                "drift_confidence_sum": "Sum of the confidence of those",
                "drift_tokens": "Tokens of these texts",
                "drift_unknown_tokens": "Tokens of these texts that the vocabulary does not know",
                "drift_flagged_texts": "Those of these texts that are flagged",
                "golden_confidence": "Mean confidence on the bundle's golden set",
            }.items()
        }
        index = GaugeMetricFamily(
            "thinfer_drift_psi",
            "Population stability index against the bundle's profile",
            labels=["version", "quantity"],
        )
        for classifier, window in list(self._windows.items()):
            body = window.report()
            for name, value in window.figures(body).items():
                if value is not None:
                    families[name].add_metric([classifier.version], value)
            for quantity, shift in body["quantities"].items():
                if shift["psi"] is not None:
                    index.add_metric([classifier.version, quantity], shift["psi"])
        yield from families.values()
        yield index

    def _window_of(self, classifier: Classifier) -> _Window:
        window = self._windows.get(classifier)
        if window is None:
            window = self._windows[classifier] = _Window(classifier.bundle, max(1, self._size))
        return window


class _Window:
    """A ring of the last texts' facts, filled in lumps: a request pays for an append only."""

    def __init__(self, bundle: Bundle, size: int) -> None:
        manifest = bundle.manifest
        self._bundle, self._labels = bundle, manifest.labels
        self._normal = manifest.normal_label
        self._decider = manifest.decider()
        self._ring = np.zeros((len(QUANTITIES), size))
        self._texts = 0  # ever seen
        self._pending: list[tuple[Logits, NDArray[np.int64], NDArray[np.int64], bool]] = []
        self._pending_texts = 0
        self._stored: tuple[Profile | None, str | None, float | None] | None = None

    def add(self, logits: Logits, encoded: Encoding, is_engine: bool) -> None:
        offsets = encoded.batch.offsets
        if len(offsets) != len(logits) + 1:  # a long text's windows count as one text
            offsets = offsets[np.concatenate([[0], np.cumsum(encoded.windows)])]
        self._pending.append((logits, offsets, encoded.unknown, is_engine))
        self._pending_texts += len(logits)
        if self._pending_texts >= FLUSH_TEXTS:
            self._flush()

    def report(self) -> dict[str, Any]:
        facts = self._facts()
        profile, reason, golden = self._read_stored()
        shifts = compare_facts(facts, self._labels, normal_label=self._normal, profile=profile)
        scored = facts.confidence[~np.isnan(facts.confidence)]
        mean = float(scored.mean()) if len(scored) else None
        tokens = float(facts.length.sum())
        return {
            "texts": len(facts),
            "seen": self._texts,
            "window": self._ring.shape[1],
            "profile": "absent" if profile is None else "present",
            "reason": reason,
            "source": profile.source if profile else None,
            "stored_texts": profile.texts if profile else None,
            "labels": list(self._labels),
            "confidence": {
                "live": mean,
                "stored": profile.mean_confidence if profile else None,
                "golden": golden,
            },
            "unknown_rate": float((facts.unknown_rate * facts.length).sum()) / tokens
            if tokens
            else None,
            "quantities": {name: to_json(shift) for name, shift in shifts.items()},
        }

    def figures(self, body: dict[str, Any]) -> dict[str, float | None]:
        facts, flags = self._facts(), body["quantities"].get("flag")
        return {
            "drift_texts": len(facts),
            "drift_engine_texts": int(np.count_nonzero(~np.isnan(facts.confidence))),
            "drift_confidence_sum": float(np.nansum(facts.confidence)),
            "drift_tokens": float(facts.length.sum()),
            "drift_unknown_tokens": float((facts.unknown_rate * facts.length).sum().round()),
            "drift_flagged_texts": flags["live"][1] if flags else None,
            "golden_confidence": body["confidence"]["golden"],
        }

    def _flush(self) -> None:
        if not self._pending:
            return
        logits, offsets, unknown, owned = zip(*self._pending, strict=True)
        self._pending, self._pending_texts = [], 0
        facts = read_facts(
            np.concatenate(logits),
            lengths=np.concatenate([row[1:] - row[:-1] for row in offsets]),
            unknown=np.concatenate(unknown),
            decider=self._decider,
        )
        own = np.repeat(owned, [len(part) for part in logits])
        facts = replace(facts, confidence=np.where(own, facts.confidence, np.nan))
        size = self._ring.shape[1]
        places = np.arange(self._texts, self._texts + len(facts)) % size
        for row, name in enumerate(QUANTITIES):
            # Where a lump is longer than the ring, the last texts stay.
            self._ring[row, places[-size:]] = getattr(facts, name)[-size:]
        self._texts += len(facts)

    def _facts(self) -> TextFacts:
        self._flush()
        label, confidence, length, unknown = self._ring[:, : min(self._texts, self._ring.shape[1])]
        return TextFacts(
            label=label.astype(np.int64),
            confidence=confidence,
            length=length,
            unknown_rate=unknown,
        )

    def _read_stored(self) -> tuple[Profile | None, str | None, float | None]:
        """Read once what the bundle brings: profile, why there is none, golden confidence."""
        if self._stored is None:
            try:
                profile, reason = self._bundle.profile(), None
                batch, logits = self._bundle.golden()
            except DataError as error:  # the folder was changed under the running service
                self._stored = (None, str(error), None)
                return self._stored
            if profile is None:
                reason = "the bundle has no profile: it was packed without --calibrate, or earlier"
            facts = read_facts(
                logits,
                lengths=batch.lengths,
                unknown=np.zeros(len(batch), dtype=np.int64),
                decider=self._decider,
            )
            self._stored = (profile, reason, float(facts.confidence.mean()))
        return self._stored
