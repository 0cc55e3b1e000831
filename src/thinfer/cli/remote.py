"""Asking a running service over HTTP, with its admin key."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from thinfer.errors import DataError, EngineError, UserError

__all__ = ["ask_admin"]

_MOST_BYTES = 16 * 2**20


def ask_admin(
    url: str, method: str, path: str, body: object, *, key: str, timeout_s: float
) -> dict[str, Any]:
    """Send one request and read the JSON answer.

    Args:
        url: of the service; http or https.
        method: of the request.
        path: of the route.
        body: sent as JSON; None for none.
        key: the service's admin key.
        timeout_s: seconds that the service may be silent.

    Returns:
        The answer of a 2xx.

    Raises:
        UserError: the URL is none, or the service refused what was asked.
        DataError: the bundle was refused.
        EngineError: nobody answers there, or the answer is not a service's.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        what = "this is no address of a service"
        raise UserError(what, expected="http://HOST:PORT", got=url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    link = kind(parts.hostname, parts.port, timeout=timeout_s)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    raw = None if body is None else json.dumps(body).encode()
    try:
        link.request(method, parts.path.rstrip("/") + path, body=raw, headers=headers)
        response = link.getresponse()
        status, text = response.status, response.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        what = f"the service at {url} does not answer"
        raise EngineError(what, got=f"{type(error).__name__}: {error}") from error
    finally:
        link.close()
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        what = f"{url} gave an answer that is not a thinfer service's"
        raise EngineError(what, got=f"HTTP {status}")
    if status < 300:
        return answer
    what, kind_of_error = str(answer.get("error")), answer.get("error_type")
    if kind_of_error == "bundle_refused":
        raise DataError(what)
    if status < 500:
        raise UserError(what)
    raise EngineError(what)
