"""Whether the service lives and is ready, what it counts, and what it is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

import thinfer
from thinfer.core.codec import to_json
from thinfer.serve.asked import read_asked
from thinfer.serve.describe import PROBES, Page, add_route
from thinfer.serve.errors import WorkerStoppedError
from thinfer.serve.observe import METRICS_TYPE
from thinfer.serve.service import Service
from thinfer.serve.version import Version

__all__ = ["add_health", "check_alive"]


class StatusAnswer(BaseModel):
    """Answer of `/livez` and `/readyz`."""

    status: str


class InfoAnswer(BaseModel):
    """Answer of `/info`; more may be added."""

    name: str
    version: str
    labels: list[str]
    normal_label: str | None
    problem_type: str
    max_length: int
    truncation: str
    vocabulary: int
    engine: str
    engine_version: str
    precision: str
    threads: int
    quality: dict[str, Any]
    thinfer: str
    keys: dict[str, bool]
    limits: dict[str, float]


class DriftAnswer(BaseModel):
    """Answer of `/drift`; docs/reference/operations.md says what each field means."""

    model_config = ConfigDict(extra="allow")

    version: str
    texts: int
    seen: int
    window: int
    profile: str
    reason: str | None
    labels: list[str]
    confidence: dict[str, float | None]
    unknown_rate: float | None
    quantities: dict[str, Any]


INFO = {
    "name": "moderation",
    "version": "1f2e3d4c5b6a",
    "labels": ["normal", "spam", "abuse"],
    "normal_label": "normal",
    "problem_type": "single_label_classification",
    "max_length": 128,
    "truncation": "head",
    "vocabulary": 9187,
    "engine": "native",
    "engine_version": "0.1.0",
    "precision": "int8",
    "threads": 2,
    "quality": {},
    "thinfer": thinfer.__version__,
    "keys": {"serve": False, "admin": True},
    "limits": {"max_queue": 512, "max_batch_tokens": 4096, "window_overlap": 0.25},
}


DRIFT = {
    "version": "1f2e3d4c5b6a",
    "texts": 4096,
    "seen": 181_204,
    "window": 4096,
    "profile": "present",
    "reason": None,
    "labels": ["normal", "spam", "abuse"],
    "confidence": {"live": 0.961, "stored": 0.968, "golden": 0.981},
    "unknown_rate": 0.0004,
    "quantities": {"confidence": {"psi": 0.012}},
}

DRIFT_PAGE = Page(
    summary="Live histograms of what is asked and answered, beside those of the bundle",
    answer=DriftAnswer,
    example=DRIFT,
    statuses=(401, 404, 422),
)


def add_health(router: APIRouter, service: Service) -> None:
    """Add `GET /livez`, `/readyz`, `/health`, `/metrics`, `/info` and `/drift`.

    Args:
        router: where.
        service: what the routes talk to.
    """

    async def livez() -> Response:
        check_alive(service.router.current)
        return JSONResponse({"status": "alive"})

    async def readyz() -> Response:
        await service.check_ready()
        return JSONResponse({"status": "ready"})

    async def health() -> Response:
        await service.check_ready()
        return Response()

    async def metrics() -> Response:
        return Response(service.metrics.render(), media_type=METRICS_TYPE)

    async def info() -> Response:
        return JSONResponse(_describe(service))

    async def drift(request: Request) -> Response:
        name = read_asked(request.scope).use
        version = service.router.current if name is None else service.router.find(name)
        return JSONResponse(service.drift.report(version.classifier))

    alive = Page(
        summary="Whether the process can still work; if not, it should be restarted",
        answer=StatusAnswer,
        example={"status": "alive"},
        statuses=PROBES,
    )
    ready = Page(
        summary="Whether a real inference works now",
        answer=StatusAnswer,
        example={"status": "ready"},
        statuses=PROBES,
    )
    empty = Page(
        summary="The same without a body, as text-embeddings-inference has it",
        statuses=PROBES,
        media=Response,
    )
    counters = Page(summary="Counters in the Prometheus text form", media=PlainTextResponse)
    facts = Page(
        summary="Facts of the model and the limits of the service",
        answer=InfoAnswer,
        example=INFO,
    )
    add_route(router, "GET /livez", livez, page=alive)
    add_route(router, "GET /readyz", readyz, page=ready)
    add_route(router, "GET /health", health, page=empty)
    add_route(router, "GET /metrics", metrics, page=counters)
    add_route(router, "GET /info", info, page=facts)
    add_route(router, "GET /drift", drift, page=DRIFT_PAGE)


def check_alive(version: Version) -> None:
    """Let pass while a version can still work.

    Args:
        version: whose engine's worker is asked.

    Raises:
        WorkerStoppedError: the worker has ended, and nothing brings it back.
    """
    if not version.batcher.is_alive:
        what = "the engine's worker has ended"
        raise WorkerStoppedError(what, do="restart the process")


def _describe(service: Service) -> dict[str, object]:
    classifier, settings = service.router.current.classifier, service.settings
    engine, manifest = classifier.engine.info, classifier.bundle.manifest
    return {
        "name": service.model_name,
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
        "keys": {
            "serve": settings.serve_key_file is not None,
            "admin": settings.admin_key_file is not None,
        },
        "limits": {
            "max_queue": settings.max_queue,
            "max_batch_tokens": settings.max_batch_tokens,
            "max_batch_texts": settings.max_batch_texts,
            "max_body_bytes": settings.max_body_bytes,
            "max_windows": settings.max_windows,
            "window_overlap": settings.window_overlap,
            "cache_texts": settings.cache_texts,
        },
    }
