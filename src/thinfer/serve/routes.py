"""The routes: read the request, ask the service, write the answer."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import thinfer
from thinfer.core.codec import to_json
from thinfer.serve.errors import WorkerStoppedError
from thinfer.serve.reading import add_route, read_json
from thinfer.serve.schema import CheckBody, PredictBody, read_query, split_inputs
from thinfer.serve.service import Answered, Service

__all__ = ["build_routes"]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def build_routes(service: Service) -> APIRouter:
    """Give the router with every route of the service.

    Args:
        service: what the routes talk to.
    """
    router, routes = APIRouter(), _Routes(service)
    add_route(router, "GET /check", endpoint=routes.check_query, query="content")
    add_route(router, "POST /check", endpoint=routes.check_body, body=CheckBody)
    add_route(router, "POST /predict", endpoint=routes.predict, body=PredictBody)
    add_route(router, "GET /livez", endpoint=routes.livez)
    add_route(router, "GET /readyz", endpoint=routes.readyz)
    add_route(router, "GET /metrics", endpoint=routes.metrics)
    add_route(router, "GET /info", endpoint=routes.info)
    return router


class _Routes:
    """One method a route."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def check_query(self, request: Request) -> Response:
        """Classify `?content=…`."""
        with self._service.lifecycle.work():
            content = read_query(request.scope["query_string"], "content")
            return await _check(self._service, request, content=content)

    async def check_body(self, request: Request) -> Response:
        """Classify the `content` of a JSON object."""
        with self._service.lifecycle.work():
            body = await read_json(request, CheckBody, settings=self._service.settings)
            return await _check(self._service, request, content=body.content)

    async def predict(self, request: Request) -> Response:
        """Classify one text, a list of texts or a list of pairs; every label with its score."""
        with self._service.lifecycle.work():
            body = await read_json(request, PredictBody, settings=self._service.settings)
            texts, pairs = split_inputs(body)
            answered = await self._service.classify(
                request, texts, pairs=pairs, may_truncate=body.truncate is not False
            )
            rows = _rank_labels(answered, is_raw=body.raw_scores)
            return JSONResponse(rows[0] if isinstance(body.inputs, str) else rows)

    async def livez(self) -> Response:
        """Say whether the process can still work; if not, it should be restarted.

        Raises:
            WorkerStoppedError: the engine's worker has ended, and nothing brings it back.
        """
        if not self._service.router.current.batcher.is_alive:
            what = "the engine's worker has ended"
            raise WorkerStoppedError(what, do="restart the process")
        return JSONResponse({"status": "alive"})

    async def readyz(self) -> Response:
        """Say whether a real inference works now."""
        await self._service.check_ready()
        return JSONResponse({"status": "ready"})

    async def metrics(self) -> Response:
        """Give the counters in the Prometheus text form."""
        return Response(self._service.metrics.render(), media_type=METRICS_TYPE)

    async def info(self) -> Response:
        """Give the facts of the model and the limits of the service."""
        return JSONResponse(_describe(self._service))


async def _check(service: Service, request: Request, *, content: str) -> Response:
    answered = await service.classify(request, (content,))
    best = answered.predictions()[0]
    answer: dict[str, object] = {
        "content": content,
        "result": best.label,
        "probability": best.score,
    }
    if best.truncated:
        answer["truncated"] = True
    if answered.relay is not None:
        answer |= answered.relay.describe(0)
    return JSONResponse(answer)


def _rank_labels(answered: Answered, *, is_raw: bool) -> list[list[dict[str, object]]]:
    """Give every label with its score, the highest first, a list for each text."""
    labels = answered.version.classifier.labels
    if is_raw:
        rows = [dict(zip(labels, row, strict=True)) for row in answered.logits.tolist()]
    else:
        rows = [dict(prediction.scores) for prediction in answered.predictions()]
    return [
        [
            {"label": label, "score": score}
            for label, score in sorted(row.items(), key=lambda item: -item[1])
        ]
        for row in rows
    ]


def _describe(service: Service) -> dict[str, object]:
    classifier, settings = service.router.current.classifier, service.settings
    engine, manifest = classifier.engine.info, classifier.bundle.manifest
    return {
        "version": classifier.version,
        "labels": list(manifest.labels),
        "normal_label": manifest.normal_label,
        "problem_type": manifest.problem_type,
        "max_length": manifest.max_length,
        "truncation": manifest.truncation,
        "vocabulary": engine.vocab,
        "engine": engine.name,
        "engine_version": engine.version,
        "precision": engine.precision,
        "threads": engine.threads,
        "quality": to_json(manifest.quality),
        "thinfer": thinfer.__version__,
        "cascade": None if service.cascade is None else service.cascade.describe(),
        "limits": {
            "max_queue": settings.max_queue,
            "max_batch_tokens": settings.max_batch_tokens,
            "max_batch_texts": settings.max_batch_texts,
            "max_body_bytes": settings.max_body_bytes,
        },
    }
