"""Serves the console's files, with headers that let the page load from its own origin alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from types import MappingProxyType

from fastapi import APIRouter
from starlette.responses import Response

__all__ = ["build_console"]

PAGE = "console.html"
# A file that is not named here is never served.
ASSETS = (
    "console.css",
    "console.js",
    "charts.js",
    "elements.js",
    "live.js",
    "metrics.js",
    "service.js",
    "try.js",
    "versions.js",
)
TYPES: Mapping[str, str] = MappingProxyType(
    {
        "html": "text/html; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
    }
)
# No inline script or style, no other origin, no frame around the page. Trusted types forbid the
# ways to turn a string into markup, so a text from a user or a label can only ever be text.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        # A page older than its service would read counters that are gone.
        "cache-control": "no-cache",
    }
)


def build_console() -> APIRouter:
    """Give the router with the page at `/` and its files under `/console/`.

    The files are read once, here. The page names them relative to itself, so it also works behind
    a proxy that puts a prefix in front.
    """
    router = APIRouter()
    paths = {"/": PAGE, **{f"/console/{name}": name for name in ASSETS}}
    for path, name in paths.items():
        router.add_api_route(path, _serve(name), methods=["GET"], include_in_schema=False)
    return router


def _serve(name: str) -> Callable[[], Awaitable[Response]]:
    body = files(__package__).joinpath(name).read_bytes()
    media_type = TYPES[name.rpartition(".")[2]]

    async def answer() -> Response:
        return Response(body, media_type=media_type, headers=dict(HEADERS))

    return answer
