"""The ASGI application: routes inside, error table around them, counters outermost."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

import thinfer
from thinfer.core.clock import Clock
from thinfer.errors import ThinferError
from thinfer.serve.access import RequestIds
from thinfer.serve.admin import build_admin_routes
from thinfer.serve.answers import answer_bug, answer_error, answer_http, answer_request_error
from thinfer.serve.console import build_console
from thinfer.serve.keys import AskKey, Keys
from thinfer.serve.middleware import BoundBody, Observe
from thinfer.serve.refusing import RefuseEarly
from thinfer.serve.routes import build_routes
from thinfer.serve.service import Service
from thinfer.serve.shortcut import Shortcut
from thinfer.serve.spans import SpanWriter

__all__ = ["create_app"]


def create_app(service: Service, *, clock: Clock, spans: SpanWriter | None = None) -> ASGIApp:
    """Give the application; its lifespan starts and stops the engine's worker.

    Args:
        service: what the routes talk to; one application per service.
        clock: measures requests.
        spans: where a span a request goes; the caller closes it.

    Raises:
        UserError: a key file cannot be used.
    """
    settings = service.settings
    keys = Keys.read(serve=settings.serve_key_file, admin=settings.admin_key_file)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        service.start()
        yield
        await service.stop()

    # The documentation pages would load scripts from elsewhere; /openapi.json stays.
    app = FastAPI(
        title="thinfer",
        version=thinfer.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    routers = [build_routes(service), build_admin_routes(service)]
    if settings.console:
        routers.append(build_console())
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(ThinferError, answer_request_error)
    app.add_exception_handler(HTTPException, answer_http)
    app.add_exception_handler(Exception, answer_bug)
    known = [route for router in routers for route in router.routes]
    straight = Shortcut(app, known, answer=answer_error)
    guarded = ServerErrorMiddleware(straight, handler=answer_bug)
    bounded = BoundBody(guarded, max_bytes=settings.max_body_bytes)
    early = RefuseEarly(
        bounded,
        service.router,
        is_draining=lambda: service.lifecycle.is_draining,
        answer=answer_error,
    )
    paths = {str(getattr(route, "path", "")) for route in known} | {"/openapi.json"}
    return Observe(
        AskKey(early, keys, answer=answer_error),
        metrics=service.metrics,
        routes=frozenset(paths),
        version=lambda: service.router.current.name,
        clock=clock,
        ids=RequestIds(secrets.token_hex(4)),
        has_log=settings.access_log,
        spans=spans,
    )
