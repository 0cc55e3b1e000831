"""A request's body: whole, in its time, and plain."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from thinfer.serve.errors import ClientGoneError, SlowBodyError, UnsupportedEncodingError
from thinfer.serve.schema import RequestBody, read_body
from thinfer.serve.settings import ServeSettings

__all__ = ["read_json"]

Body = TypeVar("Body", bound=RequestBody)


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
    for name, value in request.scope["headers"]:
        if name == b"content-encoding" and value != b"identity":
            what = "the body is compressed"
            got = value[:40].decode("latin-1")
            raise UnsupportedEncodingError(what, expected="a plain body", got=got)
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
