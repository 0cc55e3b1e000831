"""How the parts of a service are put together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from thinfer.classifier import Classifier
from thinfer.core.clock import Clock
from thinfer.serve.batcher import Batcher, BatchLimits
from thinfer.serve.cascade import open_cascade
from thinfer.serve.fleet import Fleet
from thinfer.serve.gate import open_gate
from thinfer.serve.observe import Metrics
from thinfer.serve.router import Router
from thinfer.serve.service import Service
from thinfer.serve.settings import ServeSettings
from thinfer.serve.version import Version

__all__ = ["build_service"]


def build_service(
    classifier: Classifier, settings: ServeSettings, *, clock: Clock, seed: int = 0
) -> Service:
    """Put a queue in front of a classifier, and the counters beside it.

    Args:
        classifier: open, so its golden set has passed; the service closes it.
        settings: of the service.
        clock: measures everything.
        seed: of the draws that deal requests without a key.
    """
    metrics = Metrics()
    limits = BatchLimits(
        max_queue=settings.max_queue,
        max_batch_tokens=settings.max_batch_tokens,
        max_batch_texts=settings.max_batch_texts,
    )

    def build(opened: Classifier) -> Version:
        batcher = Batcher(
            opened.engine.run,
            limits,
            clock=clock,
            on_run=metrics.observe_run,
            workers=settings.engine_workers,
            quick_s=settings.quick_ms / 1e3,
        )
        return Version(opened, batcher)

    def reopen(path: Path) -> Classifier:
        return Classifier.open(path, engine=settings.engine, threads=settings.threads)

    dealing, drawing = np.random.default_rng(seed).spawn(2)
    router = Router(build(classifier), rng=dealing)
    metrics.watch_queue(lambda: router.waiting)
    fleet = Fleet(router, settings, opener=reopen, build=build, metrics=metrics, clock=clock)
    return Service(
        fleet,
        settings,
        metrics=metrics,
        clock=clock,
        rng=drawing,
        cascade=open_cascade(classifier, settings, metrics=metrics, clock=clock),
        gate=open_gate(classifier, settings, metrics=metrics),
    )
