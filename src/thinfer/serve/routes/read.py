"""A request's body: whole, in its time, and plain."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from thinfer.serve.errors import ClientGoneError, SlowBodyError, UnsupportedEncodingError
from thinfer.serve.schema import RequestBody, read_body

__all__ = ["receive_body"]

Body = TypeVar("Body", bound=RequestBody)


async def receive_body(request: Request, cls: type[Body], *, timeout_s: float) -> Body:
    """Read the body in its time.

    Args:
        request: whose body has not been read.
        cls: what it should be.
        timeout_s: for the last byte to arrive.

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
        async with asyncio.timeout(timeout_s):
            raw = await request.body()
    except TimeoutError:
        what = "the body did not arrive in time"
        raise SlowBodyError(what, expected=f"within {timeout_s:g} s") from None
    except ClientDisconnect:
        what = "the client left before its body was complete"
        raise ClientGoneError(what) from None
    return read_body(cls, raw)
