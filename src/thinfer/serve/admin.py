"""The admin routes: which versions are loaded, and who answers what."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from thinfer.serve.reading import add_route, read_json
from thinfer.serve.service import Service

__all__ = ["build_admin_routes"]


class LoadBody(BaseModel):
    """Body of `POST /admin/versions`.

    Attributes:
        bundle: path of a bundle on the service's machine.
        activate: false only loads it, for a split or a shadow.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: StrictStr = Field(min_length=1, max_length=4096)
    activate: StrictBool = True


class SplitBody(BaseModel):
    """Body of `POST /admin/split`.

    Attributes:
        versions: name → share above 0; the shares add up to 1.
        shadow: a version that sees the traffic and answers none of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    versions: dict[StrictStr, StrictFloat | StrictInt] = Field(min_length=1, max_length=16)
    shadow: StrictStr | None = None


def build_admin_routes(service: Service) -> APIRouter:
    """Give the router with the admin routes; the keys are checked before it.

    Args:
        service: whose versions are changed.
    """
    router, routes = APIRouter(), _Admin(service)
    add_route(router, "GET /admin/versions", endpoint=routes.show)
    add_route(router, "POST /admin/versions", endpoint=routes.load, body=LoadBody)
    add_route(router, "DELETE /admin/versions/{name}", endpoint=routes.unload)
    add_route(router, "POST /admin/rollback", endpoint=routes.roll_back)
    add_route(router, "POST /admin/split", endpoint=routes.split, body=SplitBody)
    return router


class _Admin:
    """One method a route."""

    def __init__(self, service: Service) -> None:
        self._service, self._fleet = service, service.fleet

    async def show(self) -> Response:
        """List the versions, their shares and what happened to them."""
        return self._answer()

    async def load(self, request: Request) -> Response:
        """Load, verify, warm and try a bundle beside the present one, then switch to it."""
        self._service.lifecycle.check()
        body = await read_json(request, LoadBody, settings=self._service.settings)
        loaded = await self._fleet.load(Path(body.bundle), is_activated=body.activate)
        return JSONResponse(_lists(asdict(loaded)))

    async def unload(self, name: str) -> Response:
        """Drop a version that answers nothing."""
        self._fleet.unload(name)
        return self._answer()

    async def roll_back(self) -> Response:
        """Let the version before the last switch answer again."""
        self._fleet.roll_back()
        router = self._fleet.router
        previous = None if router.previous is None else router.previous.name
        return JSONResponse({"version": router.current.name, "previous": previous})

    async def split(self, request: Request) -> Response:
        """Deal the traffic among the loaded versions."""
        body = await read_json(request, SplitBody, settings=self._service.settings)
        shares = {name: float(share) for name, share in body.versions.items()}
        self._fleet.set_split(shares, shadow=body.shadow)
        return self._answer()

    def _answer(self) -> Response:
        return JSONResponse(self._fleet.describe())


def _lists(body: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in body.items()}
