"""The ASGI application: routes inside, error table around them, counters outermost."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

import thinfer
from thinfer.core.clock import Clock
from thinfer.errors import InternalError, OverloadError, ThinferError
from thinfer.serve.console import build_console
from thinfer.serve.errors import NotReadyError, answer_for
from thinfer.serve.middleware import BoundBody, Observe, trace_of
from thinfer.serve.routes import build_routes
from thinfer.serve.service import Service

__all__ = ["create_app"]

logger = logging.getLogger("thinfer.serve")

# Kinds of refusal after which the connection is of no more use.
CLOSING = frozenset({"draining", "slow_body"})


def create_app(service: Service, *, clock: Clock) -> ASGIApp:
    """Give the application; its lifespan starts and stops the engine's worker.

    Args:
        service: what the routes talk to; one application per service.
        clock: measures requests.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        batcher = service.router.current.batcher
        batcher.start()
        yield
        await batcher.stop()

    # The documentation pages would load scripts from elsewhere; /openapi.json stays.
    app = FastAPI(
        title="thinfer",
        version=thinfer.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    routers = [build_routes(service), *([build_console()] if service.settings.console else [])]
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(ThinferError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_bug)
    known = [route for router in routers for route in router.routes]
    paths = {str(getattr(route, "path", "")) for route in known} | {"/openapi.json"}
    return Observe(
        BoundBody(app, max_bytes=service.settings.max_body_bytes),
        metrics=service.metrics,
        routes=frozenset(paths),
        version=lambda: service.router.current.name,
        clock=clock,
        has_log=service.settings.access_log,
    )


async def _answer_error(request: Request, error: Exception) -> Response:
    """Answer by the table."""
    known = error if isinstance(error, ThinferError) else InternalError(type(error).__name__)
    answer = answer_for(known)
    trace = trace_of(request.scope)
    trace.outcome, trace.reason = answer.outcome, answer.kind
    trace.closes = answer.kind in CLOSING
    headers = {}
    if isinstance(known, OverloadError):
        headers["retry-after"] = str(max(1, math.ceil(known.retry_after_s)))
    elif isinstance(known, NotReadyError):
        headers["retry-after"] = "1"
    if answer.outcome == "failed":
        logger.error("%s: %s", answer.kind, known)
    body = {"error": str(known), "error_type": answer.kind}
    return JSONResponse(body, status_code=answer.status, headers=headers)


async def _answer_http(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses (no such path, wrong method) in the same form."""
    if not isinstance(error, HTTPException):
        return await _answer_bug(request, error)
    kinds = {404: "not_found", 405: "method_not_allowed"}
    body = {"error": error.detail, "error_type": kinds.get(error.status_code, "invalid")}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def _answer_bug(request: Request, error: Exception) -> Response:
    """Answer an error nobody foresaw; the server logs its trace, the client sees no detail."""
    del request, error
    return JSONResponse({"error": "internal error", "error_type": "internal"}, status_code=500)
