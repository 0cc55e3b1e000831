"""Straight to the handler, for routes that need nothing of the framework but their place.

FastAPI resolves parameters and dependencies for each request. Our handlers take the bare request,
so on a route without path parameters there is nothing to resolve; the framework still describes
these routes in `/openapi.json` and answers everything else.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from thinfer.errors import ThinferError

__all__ = ["Shortcut"]

Handler = Callable[[Request], Awaitable[Response]]


class Shortcut:
    """Calls a handler by method and path; what it does not know goes to the application.

    Args:
        app: the framework's application.
        routes: its routes; those whose handler takes the request alone are taken from here.
        answer: gives the answer to an error of ours.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[BaseRoute],
        *,
        answer: Callable[[Scope, ThinferError], Response],
    ) -> None:
        self._app, self._answer = app, answer
        self._handlers: dict[tuple[str, str], Handler] = {
            (method, route.path): route.endpoint
            for route in routes
            if isinstance(route, APIRoute) and _is_plain(route)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event stream."""
        handler = None
        if scope["type"] == "http":
            handler = self._handlers.get((scope["method"], scope["path"]))
        if handler is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await handler(Request(scope, receive, send))
        except ThinferError as error:
            response = self._answer(scope, error)
        await response(scope, receive, send)


def _is_plain(route: APIRoute) -> bool:
    return "{" not in route.path and list(inspect.signature(route.endpoint).parameters) == [
        "request"
    ]
