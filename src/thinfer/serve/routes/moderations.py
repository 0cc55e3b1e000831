"""`/v1/moderations`: which labels but the normal one a text has, in the form of the OpenAI API."""

from __future__ import annotations

import uuid
from types import MappingProxyType
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field, StrictStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from thinfer.classifier import Prediction
from thinfer.serve.describe import WORK, Page, add_route
from thinfer.serve.errors import NotFoundError
from thinfer.serve.reading import read_json
from thinfer.serve.schema import LONG_TEXT, LongTextFields
from thinfer.serve.service import Service

__all__ = ["ModerationsBody", "add_moderations"]


class ModerationsBody(LongTextFields):
    """Body of `POST /v1/moderations`.

    Attributes:
        input: one text or a list of texts.
        model: taken and ignored; the answer says which model gave it.
    """

    expected = MappingProxyType(
        {
            **LONG_TEXT,
            "input": "a string or a list of strings; not empty",
            "model": "a string, or null",
        }
    )

    input: StrictStr | Annotated[list[StrictStr], Field(min_length=1)] = Field(
        description="A text or a list of texts."
    )
    model: StrictStr | None = Field(
        default=None, description="Ignored; the answer says which model gave it."
    )


class ModerationResult(BaseModel):
    """What was found in one text."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    truncated: bool
    tokens: int
    tokens_total: int


class ModerationsAnswer(BaseModel):
    """Answer of `/v1/moderations`."""

    id: str
    model: str
    results: list[ModerationResult]


class ApiError(BaseModel):
    """An error, as the OpenAI API writes it."""

    message: str
    type: str
    param: str | None
    code: str


class ApiErrorAnswer(BaseModel):
    """An answer that is no success."""

    error: ApiError


ANSWER = {
    "id": "modr-8d6e0b0c3b8e4f0f9d0c3b8e4f0f9d0c",
    "model": "moderation-1f2e3d4c5b6a",
    "results": [
        {
            "flagged": True,
            "categories": {"spam": True, "abuse": False},
            "category_scores": {"spam": 0.987, "abuse": 0.004},
            "truncated": False,
            "tokens": 7,
            "tokens_total": 7,
        }
    ],
}


def add_moderations(router: APIRouter, service: Service) -> None:
    """Add `POST /v1/moderations`.

    Args:
        router: where.
        service: what the route talks to.
    """

    async def moderate(request: Request) -> Response:
        with service.lifecycle.work():
            body = await read_json(request, ModerationsBody, settings=service.settings)
            loaded = [version.classifier for version in service.router.loaded.values()]
            names = [classifier.bundle.manifest.normal_label for classifier in loaded]
            check_normal(next((name for name in names if name is not None), None))
            texts = (body.input,) if isinstance(body.input, str) else tuple(body.input)
            rule = body.to_rule(overlap=service.settings.window_overlap)
            answered = await service.classify(request, texts, long_text=rule)
            classifier = answered.version.classifier
            normal = check_normal(classifier.bundle.manifest.normal_label)
            results = [_find(item, normal=normal) for item in answered.predictions()]
            answer = {
                "id": f"modr-{uuid.uuid4().hex}",
                "model": f"{service.model_name}-{answered.version.name}",
                "results": results,
            }
            return JSONResponse(answer)

    page = Page(
        summary="Which labels but the normal one a text has; where the bundle names a normal label",
        answer=ModerationsAnswer,
        example=ANSWER,
        body=ModerationsBody,
        examples={
            "one text": {"input": "win a free phone now"},
            "texts": {"input": ["win a free phone now", "see you at six"]},
        },
        statuses=WORK,
        error=ApiErrorAnswer,
    )
    add_route(router, "POST /v1/moderations", moderate, page=page)


def check_normal(normal_label: str | None) -> str:
    """Give the normal label.

    Args:
        normal_label: of the manifest.

    Raises:
        NotFoundError: the bundle names none, so nothing can be told from a finding.
    """
    if normal_label is None:
        what = "the model cannot moderate: its bundle names no normal label"
        do = "compress or pack it with --normal-label, or ask /predict"
        raise NotFoundError(what, do=do)
    return normal_label


def _find(prediction: Prediction, *, normal: str) -> dict[str, object]:
    scores = {label: score for label, score in prediction.scores.items() if label != normal}
    found = {label: label in prediction.labels for label in scores}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": scores,
        "truncated": prediction.truncated,
        "tokens": prediction.tokens,
        "tokens_total": prediction.tokens_total,
    }
