"""`/predict`: every label with its score, in the form of text-embeddings-inference."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from thinfer.serve.describe import WORK, Page, add_route
from thinfer.serve.reading import read_json
from thinfer.serve.schema import PredictBody, split_inputs
from thinfer.serve.service import Answered, Service

__all__ = ["add_predict"]

Row = list[dict[str, object]]


class Ranked(BaseModel):
    """A label and its score."""

    label: str
    score: float


class Details(BaseModel):
    """The labels of one text, how much of it was read, and which stage answered."""

    predictions: list[Ranked]
    label: str
    labels: list[str]
    truncated: bool
    tokens: int
    tokens_total: int
    windows: int
    stage: str | None = None
    degraded: bool | None = None


PredictAnswer = list[Ranked] | list[list[Ranked]] | Details | list[Details]
ANSWER = [{"label": "spam", "score": 0.987}, {"label": "normal", "score": 0.013}]


def add_predict(router: APIRouter, service: Service) -> None:
    """Add `POST /predict`.

    Args:
        router: where.
        service: what the route talks to.
    """

    async def predict(request: Request) -> Response:
        with service.lifecycle.work():
            body = await read_json(request, PredictBody, settings=service.settings)
            texts, pairs = split_inputs(body)
            rule = body.to_rule(overlap=service.settings.window_overlap)
            answered = await service.classify(request, texts, pairs=pairs, long_text=rule)
            rows = _rank_labels(answered, body)
            answers = _add_details(answered, rows) if body.details else rows
            return JSONResponse(answers[0] if isinstance(body.inputs, str) else answers)

    page = Page(
        summary="Every label with its score, for one text, a list of texts or a list of pairs",
        answer=PredictAnswer,
        example=ANSWER,
        body=PredictBody,
        examples={
            "one text": {"inputs": "win a free phone now"},
            "texts": {"inputs": ["win a free phone now", "see you at six"], "top_k": 1},
            "pairs": {"inputs": [["is it raining?", "the sky is clear"]], "raw_scores": True},
            "long text": {"inputs": "chapter one …", "long_text": "windows", "details": True},
        },
        statuses=WORK,
    )
    add_route(router, "POST /predict", predict, page=page)


def _rank_labels(answered: Answered, body: PredictBody) -> list[Row]:
    """Give the labels with their scores, the highest first, a list for each text."""
    labels = answered.version.classifier.labels
    if body.raw_scores:
        rows = [dict(zip(labels, row, strict=True)) for row in answered.logits.tolist()]
    else:
        rows = [dict(prediction.scores) for prediction in answered.predictions()]
    return [
        [
            {"label": label, "score": score}
            for label, score in sorted(row.items(), key=lambda item: -item[1])[: body.top_k]
        ]
        for row in rows
    ]


def _add_details(answered: Answered, rows: list[Row]) -> list[dict[str, object]]:
    return [
        {
            "predictions": row,
            "label": prediction.label,
            "labels": list(prediction.labels),
            "truncated": prediction.truncated,
            "tokens": prediction.tokens,
            "tokens_total": prediction.tokens_total,
            "windows": prediction.windows,
            **({} if answered.relay is None else answered.relay.describe(number)),
        }
        for number, (row, prediction) in enumerate(zip(rows, answered.predictions(), strict=True))
    ]
