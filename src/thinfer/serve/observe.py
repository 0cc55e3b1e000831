"""What the service counts: every request once, by route and outcome, and the sums add up."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector

from thinfer.serve.calling import BatchRun
from thinfer.serve.rowstore import RowStore

__all__ = ["METRICS_TYPE", "Metrics"]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class Metrics:
    """The counters of one service, in a registry of their own.

    At any moment `requests_received_total` = the sum of `requests_total` + `requests_in_flight`,
    and the requests with outcome `refused` = the sum of `refused_total`. Texts and tokens count
    those that were answered; engine calls include the readiness probe's and the shadow's.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        counter, histogram = self._counter, self._histogram
        self.received = counter("requests_received", "Requests that arrived")
        self.requests = counter("requests", "Requests answered or given up", ("route", "outcome"))
        self.refused = counter("refused", "Requests refused", ("reason",))
        self.in_flight = Gauge(
            "thinfer_requests_in_flight", "Requests not answered yet", registry=registry
        )
        # By route, or a scrape each second would stand among the answers.
        self.request_seconds = histogram(
            "request_seconds", "From first byte to answer", SECONDS, ("route",)
        )
        self.texts = counter("texts", "Texts answered")
        self.tokens = counter("tokens", "Tokens of the texts answered")
        self.truncated = counter("truncated_texts", "Texts cut to the maximum length")
        self.windowed = counter("windowed_texts", "Texts read in several windows")
        self.windows = counter("windows", "Windows of the texts read in several")
        self.unknown = counter("unknown_tokens", "Tokens that the vocabulary does not know")
        self.tokenize_seconds = histogram("tokenize_seconds", "Tokenising a request", SECONDS)
        self.queue_seconds = histogram("queue_seconds", "A request's wait for the engine", SECONDS)
        self.infer_seconds = histogram("infer_seconds", "A request's time in the engine", SECONDS)
        self.batch_size = histogram("batch_size", "Texts of an engine call", TEXTS)
        self.batch_tokens = histogram("batch_tokens", "Tokens of an engine call", TOKENS)
        self.cache = counter("cache", "Texts that a cache was asked for", ("outcome",))
        self.engine_failures = counter("engine_failures", "Engine calls that failed")
        self.gate = counter("gate", "Texts that a gate saw", ("outcome",))
        self.cascade = counter("cascade", "Texts answered under a cascade", ("outcome",))
        self.cascade_seconds = histogram("cascade_seconds", "Asking the bigger model", SECONDS)
        self._gone: set[str] = set()
        self._queue = Gauge("thinfer_queue_depth", "Texts waiting", registry=registry)
        self._add_versions()

    def _add_versions(self) -> None:
        self.version = Gauge(
            "thinfer_version_info",
            "The versions that are loaded",
            ("version", "engine", "precision"),
            registry=self._registry,
        )
        self.share = Gauge(
            "thinfer_split_share", "Share of the traffic", ("version",), registry=self._registry
        )
        self.version_requests = self._counter(
            "version_requests", "Requests that a version was chosen for", ("version", "outcome")
        )
        self.version_texts = self._counter(
            "version_texts", "Texts a version answered", ("version",)
        )
        self.version_seconds = self._histogram(
            "version_infer_seconds", "A request's time in a version's engine", SECONDS, ("version",)
        )
        self.shadow = self._counter(
            "shadow_texts",
            "Texts that a second version saw, for comparison",
            ("version", "outcome"),
        )
        self._floor_texts = self._counter(
            "floor_texts",
            "Different texts that the current version flags, by what became of them",
            ("version", "floor", "outcome"),
        )
        self.floor_evidence = Gauge(
            "thinfer_floor_e_value",
            "Evidence that a version loses more than its floor allows; it is stopped at 20",
            ("version", "floor"),
            registry=self._registry,
        )
        self.swaps = self._counter("swaps", "Events in the life of versions", ("event",))

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"thinfer_{name}", text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        return Histogram(f"thinfer_{name}", text, labels, buckets=buckets, registry=self._registry)

    def watch_queue(self, depth: Callable[[], float]) -> None:
        """Read the depth of the queue at each scrape."""
        self._queue.set_function(depth)

    def watch_breaker(self, state: Callable[[], float]) -> None:
        """Show a cascade's breaker: 0 closed, 1 half-open, 2 open; read at each scrape."""
        text = "Whether the bigger model is asked: 0 yes, 1 on trial, 2 no"
        Gauge("thinfer_cascade_breaker", text, registry=self._registry).set_function(state)

    def observe_run(self, run: BatchRun) -> None:
        """Count one engine call."""
        self.batch_size.observe(run.texts)
        self.batch_tokens.observe(run.tokens)
        if run.is_failed:
            self.engine_failures.inc()

    def count_cache(self, outcome: str, texts: int) -> None:
        """Count texts that were known (`hit`), under way (`coalesced`) or neither (`miss`)."""
        self.cache.labels(outcome).inc(texts)

    def count_floor(self, version: str, floor: str, *, counted: int, lost: int) -> None:
        """Count texts under a floor's watch: those kept, and those lost."""
        self._floor_texts.labels(version, floor, "kept").inc(counted - lost)
        self._floor_texts.labels(version, floor, "lost").inc(lost)

    def watch_cache(self, store: RowStore) -> None:
        """Show how full the store is, at each scrape."""
        rows = Gauge("thinfer_cache_texts", "Texts whose answer is kept", registry=self._registry)
        rows.set_function(lambda: len(store))
        size = Gauge("thinfer_cache_bytes", "Memory of these answers", registry=self._registry)
        size.set_function(lambda: store.size_bytes)

    def register(self, collector: Collector) -> None:
        """Show the figures of another part of the service, at each scrape."""
        self._registry.register(collector)

    def show_version(self, version: str, *, engine: str, precision: str, share: float) -> None:
        """Show a version that is loaded, and its share of the traffic."""
        self._gone.discard(version)
        self.version.labels(version, engine, precision).set(1)
        self.share.labels(version).set(share)

    def forget(self, version: str) -> None:
        """Drop the series of a version that is not loaded any more, and those that still come.

        The last requests that it answered are counted after it has gone.
        """
        self._gone.add(version)
        self._drop(version)

    def _drop(self, version: str) -> None:
        for family in (
            self.version,
            self.share,
            self.version_requests,
            self.version_texts,
            self.version_seconds,
            self.shadow,
            self._floor_texts,
            self.floor_evidence,
        ):
            family.remove_by_labels({"version": version})

    def render(self) -> bytes:
        """Give the Prometheus text form."""
        for version in self._gone:
            self._drop(version)
        return generate_latest(self._registry)
