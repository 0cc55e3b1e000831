"""Whether the service lives and is ready, and what it counts."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse, PlainTextResponse, Response

from thinfer.serve.describe import PROBES, Page, add_route
from thinfer.serve.errors import WorkerStoppedError
from thinfer.serve.observe import METRICS_TYPE
from thinfer.serve.service import Service
from thinfer.serve.version import Version

__all__ = ["add_health", "check_alive"]


class StatusAnswer(BaseModel):
    """Answer of `/livez` and `/readyz`."""

    status: str


def add_health(router: APIRouter, service: Service) -> None:
    """Add `GET /livez`, `/readyz`, `/health` and `/metrics`.

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
    add_route(router, "GET /livez", livez, page=alive)
    add_route(router, "GET /readyz", readyz, page=ready)
    add_route(router, "GET /health", health, page=empty)
    add_route(router, "GET /metrics", metrics, page=counters)


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
