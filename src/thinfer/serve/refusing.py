"""Refusing at the door: a full queue is told before the body is read.

The rule is that of `Batcher.admit`, asked earlier: under three times the load that a service can
answer, two requests in three are refused, and reading them would take the time of the third.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from thinfer.errors import OverloadError, ThinferError
from thinfer.serve.router import Router

__all__ = ["RefuseEarly"]

# One text a request. A list may be one that never fits, which is another refusal (413); other
# protocols have refusals of their own form.
_ROUTE = "/check"
_USE = b"x-thinfer-use"


class RefuseEarly:
    """Answers 429 while no version that could be chosen has a place.

    Args:
        app: what is inside.
        router: says which versions answer.
        is_draining: a service that stops has an answer of its own.
        answer: gives the answer to an error of ours.
    """

    def __init__(
        self,
        app: ASGIApp,
        router: Router,
        *,
        is_draining: Callable[[], bool],
        answer: Callable[[Scope, ThinferError], Response],
    ) -> None:
        self._app, self._router, self._answer = app, router, answer
        self._is_draining = is_draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event stream."""
        if scope["type"] == "http" and scope["path"] == _ROUTE and self._is_full(scope):
            what = "the queue is full"
            response = self._answer(scope, OverloadError(what, retry_after_s=1))
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_full(self, scope: Scope) -> bool:
        router = self._router
        if not all(router.loaded[name].batcher.is_full for name in router.split):
            return False
        return not self._is_draining() and all(name != _USE for name, _ in scope["headers"])
