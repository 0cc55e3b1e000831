"""One OpenTelemetry span a request, for those who ask for it; the same fields as the log line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from thinfer.core.optional import require

__all__ = ["SpanWriter", "open_spans"]

NAMES: Mapping[str, str] = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "outcome": "thinfer.outcome",
    "reason": "thinfer.reason",
    "texts": "thinfer.texts",
    "tokens": "thinfer.tokens",
    "version": "thinfer.version",
    "request_id": "thinfer.request_id",
}
# Those of the W3C's Trace Context; a span here is a child of the caller's.
CARRIED = ("traceparent", "tracestate")


class SpanWriter:
    """Writes a span when its request has been answered.

    Args:
        provider: of the tracer; closed with the writer.
        trace: the module `opentelemetry.trace`.
        propagator: reads the caller's context from headers.
    """

    def __init__(self, provider: Any, *, trace: Any, propagator: Any) -> None:  # noqa: ANN401 - optional
        self._provider, self._trace, self._propagator = provider, trace, propagator
        self._tracer = provider.get_tracer("thinfer")

    def write(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        fields: Mapping[str, Any],
        *,
        started_s: float,
        seconds: float,
    ) -> None:
        """Write one span.

        Args:
            headers: of the request, names in small letters.
            fields: of the log line; those in `NAMES` become attributes.
            started_s: seconds since 1970.
            seconds: that the request took.
        """
        known = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        carrier = {name: known[name] for name in CARRIED if name in known}
        span = self._tracer.start_span(
            f"{fields['method']} {fields['route']}",
            context=self._propagator.extract(carrier),
            kind=self._trace.SpanKind.SERVER,
            attributes={NAMES[name]: value for name, value in fields.items() if name in NAMES},
            start_time=int(started_s * 1e9),
        )
        if fields["status"] >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(end_time=int((started_s + seconds) * 1e9))

    def close(self) -> None:
        """Send what is left, and stop."""
        self._provider.shutdown()


def open_spans(exporter: Any = None) -> SpanWriter:  # noqa: ANN401 - of an optional library
    """Open a writer; where it sends to is told by the library's own `OTEL_EXPORTER_OTLP_…`.

    Args:
        exporter: where spans go, at once; by default OTLP over HTTP, in batches.

    Returns:
        The writer; the caller closes it.

    Raises:
        EngineError: the extra `otel` is not installed.
    """
    trace = require("opentelemetry.trace")
    sdk = require("opentelemetry.sdk.trace")
    export = require("opentelemetry.sdk.trace.export")
    resources = require("opentelemetry.sdk.resources")
    context = require("opentelemetry.trace.propagation.tracecontext")
    provider = sdk.TracerProvider(
        resource=resources.Resource.create({"service.name": "thinfer"}), shutdown_on_exit=False
    )
    if exporter is None:
        otlp = require("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    else:
        provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    return SpanWriter(provider, trace=trace, propagator=context.TraceContextTextMapPropagator())
