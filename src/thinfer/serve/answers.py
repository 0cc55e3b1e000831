"""Errors as answers: the same form for ours, the framework's, and those nobody foresaw."""

from __future__ import annotations

import logging
import math

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from thinfer.errors import InternalError, OverloadError, ThinferError
from thinfer.serve.errors import NotReadyError, UnauthorizedError, answer_for
from thinfer.serve.middleware import trace_of

__all__ = ["answer_bug", "answer_error", "answer_http", "answer_request_error"]

logger = logging.getLogger("thinfer.serve")

# Kinds of refusal after which the connection is of no more use.
CLOSING = frozenset({"draining", "slow_body"})


async def answer_request_error(request: Request, error: Exception) -> Response:
    """Answer by the table."""
    return answer_error(request.scope, error)


def answer_error(scope: Scope, error: Exception) -> Response:
    """Give the answer to an error, and note it for the counters."""
    known = error if isinstance(error, ThinferError) else InternalError(type(error).__name__)
    answer = answer_for(known)
    trace = trace_of(scope)
    trace.outcome, trace.reason = answer.outcome, answer.kind
    trace.closes = answer.kind in CLOSING
    headers = {}
    if isinstance(known, UnauthorizedError):
        headers["www-authenticate"] = "Bearer"
    elif isinstance(known, OverloadError):
        headers["retry-after"] = str(max(1, math.ceil(known.retry_after_s)))
    elif isinstance(known, NotReadyError):
        headers["retry-after"] = "1"
    if answer.outcome == "failed":
        logger.error("%s: %s", answer.kind, known)
    body = _write_body(scope, str(known), answer.kind)
    return JSONResponse(body, status_code=answer.status, headers=headers)


async def answer_http(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses (no such path, wrong method) in the same form."""
    if not isinstance(error, HTTPException):
        return await answer_bug(request, error)
    kinds = {404: "not_found", 405: "method_not_allowed"}
    body = _write_body(request.scope, error.detail, kinds.get(error.status_code, "invalid"))
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def answer_bug(request: Request, error: Exception) -> Response:
    """Answer an error nobody foresaw; the server logs its trace, the client sees no detail."""
    del error
    return JSONResponse(_write_body(request.scope, "internal error", "internal"), status_code=500)


def _write_body(scope: Scope, message: str, kind: str) -> dict[str, object]:
    """Give the body of a refusal; clients of the OpenAI API look for an object."""
    if scope["path"].startswith("/v1/"):
        return {"error": {"message": message, "type": kind, "param": None, "code": kind}}
    return {"error": message, "error_type": kind}
