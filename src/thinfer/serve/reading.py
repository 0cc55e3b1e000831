"""Reading requests and registering routes: what every route's file does in the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from thinfer.serve.errors import ClientGoneError, SlowBodyError, UnsupportedEncodingError
from thinfer.serve.schema import read_body
from thinfer.serve.settings import ServeSettings

__all__ = ["add_route", "read_json"]

Body = TypeVar("Body", bound=BaseModel)


def add_route(
    router: APIRouter,
    name: str,
    *,
    endpoint: Callable[..., Awaitable[Response]],
    query: str | None = None,
    body: type[BaseModel] | None = None,
) -> None:
    """Register a route; the description is written out because the handlers read raw bytes.

    Args:
        router: takes the route.
        name: method and path, for example `POST /check`.
        endpoint: the handler.
        query: name of a value that the query must have.
        body: what the JSON body must be.
    """
    method, _, path = name.partition(" ")
    extra: dict[str, Any] = {}
    if query is not None:
        value = {"name": query, "in": "query", "required": True, "schema": {"type": "string"}}
        extra["parameters"] = [value]
    if body is not None:
        content = {"application/json": {"schema": body.model_json_schema()}}
        extra["requestBody"] = {"required": True, "content": content}
    router.add_api_route(
        path, endpoint, methods=[method], openapi_extra=extra, response_class=JSONResponse
    )


async def read_json(request: Request, cls: type[Body], *, settings: ServeSettings) -> Body:
    """Read the body in its time.

    Args:
        request: whose body it is.
        cls: what it should be.
        settings: give the time.

    Returns:
        The checked body.

    Raises:
        UnsupportedEncodingError: it is compressed.
        SlowBodyError: it took too long.
        ClientGoneError: the client left in the middle.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        what = "the body is compressed"
        raise UnsupportedEncodingError(what, expected="a plain body", got=encoding[:40])
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            raw = await request.body()
    except TimeoutError:
        what = "the body did not arrive in time"
        expected = f"within {settings.body_timeout_s:g} s"
        raise SlowBodyError(what, expected=expected) from None
    except ClientDisconnect:
        what = "the client left before its body was complete"
        raise ClientGoneError(what) from None
    return read_body(cls, raw)
