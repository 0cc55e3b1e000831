"""How a route is described in `/openapi.json`; written out, because the handlers read raw bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from thinfer.serve.schema import RequestBody

__all__ = ["ADMIN", "PROBES", "WORK", "ErrorAnswer", "Page", "add_route", "path_parameter"]

# The statuses with which a route for work, and one that only looks, may refuse.
WORK = (400, 401, 404, 408, 413, 415, 422, 429, 500, 503)
PROBES = (503,)
ADMIN = (401, 403, 404, 409)

REASONS: Mapping[int, str] = MappingProxyType(
    {
        400: "Malformed: not JSON, not UTF-8, nested too deep, or a key twice",
        401: "The key is missing or wrong",
        403: "The service was started without an admin key",
        404: "No such model or version, or the model has not what the route needs",
        408: "The body did not arrive in time",
        409: "The versions cannot do this now, or another bundle is being loaded",
        413: "The body is too large, or holds too many texts or windows",
        415: "The body is compressed, or holds binary tensors",
        422: "A field is missing or wrong, or a text is too long where none may be",
        429: "The queue is full; `retry-after` says when to try again",
        500: "The engine failed on this text",
        503: "Stopping, or not ready",
    }
)


class ErrorAnswer(BaseModel):
    """An answer that is no success."""

    error: str
    error_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is said of one route.

    Attributes:
        summary: one sentence.
        answer: type of a successful answer; None where it has no JSON.
        example: of a successful answer.
        body: class of the body, None where there is none.
        examples: of bodies, by name.
        parameters: in path and query, as OpenAPI writes them.
        statuses: of refusals.
        error: type of a refusal.
        media: the class of a successful answer, which knows its media type.
    """

    summary: str
    answer: Any = None
    example: object = None
    body: type[RequestBody] | None = None
    examples: Mapping[str, object] = field(default_factory=dict)
    parameters: Sequence[Mapping[str, object]] = ()
    statuses: tuple[int, ...] = ()
    error: type[BaseModel] = ErrorAnswer
    media: type[Response] = JSONResponse


def add_route(
    router: APIRouter, name: str, endpoint: Callable[..., Awaitable[Response]], *, page: Page
) -> None:
    """Register a route.

    Args:
        router: where.
        name: method and path.
        endpoint: takes the request, or nothing.
        page: its description.
    """
    method, _, path = name.partition(" ")
    responses: dict[int | str, dict[str, Any]] = {
        status: {"model": page.error, "description": REASONS[status]} for status in page.statuses
    }
    if page.answer is not None:
        content = {"application/json": {"example": page.example}}
        responses[200] = {"model": page.answer, "content": content}
    extra: dict[str, Any] = {}
    if page.parameters:
        extra["parameters"] = list(page.parameters)
    if page.body is not None:
        examples = {key: {"value": value} for key, value in page.examples.items()}
        schema = _inline(page.body.model_json_schema())
        content = {"application/json": {"schema": schema, "examples": examples}}
        extra["requestBody"] = {"required": True, "content": content}
    router.add_api_route(
        path,
        endpoint,
        methods=[method],
        summary=page.summary,
        responses=responses,
        openapi_extra=extra,
        response_class=page.media,
        response_model=None,
    )


def path_parameter(name: str, description: str, example: str) -> dict[str, object]:
    """Describe a part of the path.

    Args:
        name: as in the path's template.
        description: one sentence.
        example: a value.
    """
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


def _inline(schema: Any, definitions: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    """Put definitions in the place of references: in OpenAPI a reference starts at the whole."""
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    known = schema.get("$defs", definitions) or {}
    if "$ref" in schema:
        return _inline(known[schema["$ref"].rpartition("/")[2]], known)
    return {key: _inline(value, known) for key, value in schema.items() if key != "$defs"}
