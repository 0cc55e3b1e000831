"""`/check`: one text, its label and the probability of the label."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from thinfer.serve.describe import WORK, Page, add_route
from thinfer.serve.reading import read_json
from thinfer.serve.schema import CheckBody, read_query_fields
from thinfer.serve.service import Service

__all__ = ["add_check"]


class CheckAnswer(BaseModel):
    """Answer of `/check`."""

    content: str
    result: str
    probability: float
    truncated: bool
    tokens: int
    tokens_total: int
    windows: int | None = None
    stage: str | None = None
    degraded: bool | None = None


ANSWER = {
    "content": "win a free phone now",
    "result": "spam",
    "probability": 0.987,
    "truncated": False,
    "tokens": 7,
    "tokens_total": 7,
}


def add_check(router: APIRouter, service: Service) -> None:
    """Add `GET /check` and `POST /check`.

    Args:
        router: where.
        service: what the routes talk to.
    """

    async def check_query(request: Request) -> Response:
        with service.lifecycle.work():
            body = read_query_fields(request.scope["query_string"])
            return await _check(service, request, body=body)

    async def check_body(request: Request) -> Response:
        with service.lifecycle.work():
            body = await read_json(request, CheckBody, settings=service.settings)
            return await _check(service, request, body=body)

    query = Page(
        summary="Classify one text given in the query",
        answer=CheckAnswer,
        example=ANSWER,
        parameters=[_query_parameter(name) for name in CheckBody.model_fields],
        statuses=WORK,
    )
    posted = Page(
        summary="Classify one text",
        answer=CheckAnswer,
        example=ANSWER,
        body=CheckBody,
        examples={
            "text": {"content": "win a free phone now"},
            "long text": {"content": "chapter one …", "long_text": "windows", "pooling": "max"},
        },
        statuses=WORK,
    )
    add_route(router, "GET /check", check_query, page=query)
    add_route(router, "POST /check", check_body, page=posted)


def _query_parameter(name: str) -> dict[str, object]:
    schemas = {
        "long_text": {"enum": ["error", "head", "tail", "head_tail", "windows"]},
        "pooling": {"enum": ["max", "mean"]},
    }
    return {
        "name": name,
        "in": "query",
        "required": name == "content",
        "description": CheckBody.model_fields[name].description,
        "schema": {"type": "string", **schemas.get(name, {})},
        **({"example": "win a free phone now"} if name == "content" else {}),
    }


async def _check(service: Service, request: Request, *, body: CheckBody) -> Response:
    answered = await service.classify(
        request,
        (body.content,),
        pairs=None if body.pair is None else (body.pair,),
        long_text=body.to_rule(overlap=service.settings.window_overlap),
    )
    best = answered.predictions()[0]
    answer: dict[str, object] = {
        "content": body.content,
        "result": best.label,
        "probability": best.score,
        "truncated": best.truncated,
        "tokens": best.tokens,
        "tokens_total": best.tokens_total,
    }
    if answered.version.classifier.is_multi_label:
        answer["labels"] = list(best.labels)
    if best.windows > 1:
        answer["windows"] = best.windows
    if answered.relay is not None:
        answer |= answered.relay.describe(0)
    return JSONResponse(answer)
