"""Two plain ASGI layers around the routes: one counts and names the version, one bounds bodies."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thinfer.core.clock import Clock
from thinfer.serve.access import RequestIds
from thinfer.serve.cascade import Relay
from thinfer.serve.errors import BodyTooLargeError
from thinfer.serve.observe import Metrics
from thinfer.serve.spans import SpanWriter

__all__ = ["BoundBody", "Observe", "Trace", "trace_of"]

logger = logging.getLogger("thinfer.serve.access")


@dataclass(slots=True, kw_only=True)
class Trace:
    """What is known of one request so far.

    Attributes:
        version: that answers; the service's current one until the router has chosen.
        request_id: the client's own, or one made here.
        outcome: set by the error table; told from the status when None.
        reason: of a refusal.
        texts: that were answered.
        truncated: texts that were cut.
        tokens: tokens that were run.
        tokens_total: tokens that the texts have.
        closes: whether the connection shall end with this answer.
        is_routed: whether the router has chosen the version for this request.
        relay: who answered, where a cascade is at work.
    """

    version: str
    request_id: str
    outcome: str | None = None
    reason: str | None = None
    texts: int = 0
    truncated: int = 0
    tokens: int = 0
    tokens_total: int = 0
    closes: bool = False
    is_routed: bool = False
    relay: Relay | None = None


def trace_of(scope: Scope) -> Trace:
    """Give the trace that `Observe` laid into the scope."""
    trace: Trace = scope["thinfer.trace"]
    return trace


class Observe:
    """Counts each request once, and writes `x-thinfer-version` on each answer.

    Args:
        app: what is inside.
        metrics: where it counts.
        routes: paths with a name of their own; a path with parameters counts as its template, and
            all others as `other`.
        version: gives the current version.
        clock: measures the request.
        ids: names the requests.
        has_log: whether to write one line a request, without query and body.
        spans: where to write a span a request, if anywhere.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        routes: frozenset[str],
        version: Callable[[], str],
        clock: Clock,
        ids: RequestIds,
        has_log: bool,
        spans: SpanWriter | None = None,
    ) -> None:
        self._app, self._metrics, self._routes = app, metrics, routes
        self._version, self._clock, self._has_log = version, clock, has_log
        self._ids, self._spans = ids, spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event stream."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._ids.take(scope["headers"])
        trace = scope["thinfer.trace"] = Trace(version=self._version(), request_id=request_id)
        status = 500  # stands where the application dies before it answers
        started = self._clock.monotonic()

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_headers_of(trace)]
            await send(message)

        self._metrics.received.inc()
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_named)
        finally:
            self._count(scope, trace, status=status, seconds=self._clock.monotonic() - started)

    def _count(self, scope: Scope, trace: Trace, *, status: int, seconds: float) -> None:
        path = scope["path"]
        route = path if path in self._routes else _template_of(scope)
        outcome = trace.outcome or _outcome_of(status)
        self._metrics.in_flight.dec()
        self._metrics.requests.labels(route, outcome).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if trace.is_routed:
            self._metrics.version_requests.labels(trace.version, outcome).inc()
        if outcome == "refused":
            self._metrics.refused.labels(trace.reason or "other").inc()
        if not self._has_log and self._spans is None:
            return
        fields = {
            "method": scope["method"],
            "route": route,
            "status": status,
            "outcome": outcome,
            "ms": round(seconds * 1e3, 3),
            "texts": trace.texts,
            "tokens": trace.tokens,
            "version": trace.version,
            "request_id": trace.request_id,
        }
        if trace.reason is not None:
            fields["reason"] = trace.reason
        if self._spans is not None:
            started_s = self._clock.now() - seconds
            self._spans.write(scope["headers"], fields, started_s=started_s, seconds=seconds)
        if self._has_log:
            form = "%(method)s %(route)s %(status)d %(outcome)s %(ms).1f ms %(request_id)s"
            logger.info(form, fields, extra={"access": fields})


def _outcome_of(status: int) -> str:
    if status < 400:
        return "ok"
    return "invalid" if status < 500 else "failed"


def _template_of(scope: Scope) -> str:
    """Give the matched route's path with its parameters' names: few names, whatever is asked."""
    return str(getattr(scope.get("route"), "path", "other"))


def _headers_of(trace: Trace) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"x-thinfer-version", trace.version.encode()),
        (b"x-request-id", trace.request_id.encode()),
    ]
    if trace.tokens:
        headers.append((b"x-thinfer-tokens", b"%d" % trace.tokens))
        headers.append((b"x-thinfer-tokens-total", b"%d" % trace.tokens_total))
    if trace.truncated:
        headers.append((b"x-thinfer-truncated", str(trace.truncated).encode()))
    if trace.relay is not None:
        headers += trace.relay.headers
    if trace.closes:
        headers.append((b"connection", b"close"))
    return headers


class BoundBody:
    """Refuses a body over the limit, by its declared length or by the bytes that really arrive.

    Args:
        app: what is inside; it sees `BodyTooLargeError` out of `receive`.
        max_bytes: the longest body that is read.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event stream."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        received = 0

        async def receive_bounded() -> Message:
            """Give the next part of the body.

            Raises:
                BodyTooLargeError: the limit is passed.
            """
            nonlocal received
            # A client may declare little, or nothing (chunked), and send much: count as well.
            is_over = declared.isdigit() and int(declared[:20]) > self._max_bytes
            message = {} if is_over else await receive()
            received += len(message.get("body", b""))
            if is_over or received > self._max_bytes:
                what = "the body is too large"
                raise BodyTooLargeError(what, expected=f"at most {self._max_bytes} bytes")
            return message

        await self._app(scope, receive_bounded, send)
