"""The admin routes: which versions are loaded, and who answers what."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from thinfer.serve.describe import ADMIN, Page, add_route
from thinfer.serve.reading import read_json
from thinfer.serve.schema import RequestBody
from thinfer.serve.service import Service

__all__ = ["build_admin_routes"]


class LoadBody(RequestBody):
    """Body of `POST /admin/versions`.

    Attributes:
        bundle: path of a bundle on the service's machine.
        activate: false only loads it, for a split or a shadow.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    expected = MappingProxyType({"bundle": "the path of a bundle", "activate": "true or false"})

    bundle: StrictStr = Field(min_length=1, max_length=4096)
    activate: StrictBool = True


class SplitBody(RequestBody):
    """Body of `POST /admin/split`.

    Attributes:
        versions: name → share above 0; the shares add up to 1.
        shadow: a version that sees the traffic and answers none of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    expected = MappingProxyType(
        {"versions": "an object of names and shares in 0 … 1", "shadow": "a name or null"}
    )

    versions: dict[StrictStr, Annotated[StrictFloat | StrictInt, Field(ge=0, le=1)]] = Field(
        min_length=1, max_length=16
    )
    shadow: StrictStr | None = None


def build_admin_routes(service: Service) -> APIRouter:
    """Give the router with the admin routes; the keys are checked before it.

    Args:
        service: whose versions are changed.
    """
    router, routes = APIRouter(), _Admin(service)
    add_route(router, "GET /admin/versions", routes.show, page=_SHOW)
    add_route(router, "POST /admin/versions", routes.load, page=_LOAD)
    add_route(router, "DELETE /admin/versions/{name}", routes.unload, page=_UNLOAD)
    add_route(router, "POST /admin/rollback", routes.roll_back, page=_ROLL_BACK)
    add_route(router, "POST /admin/split", routes.split, page=_SPLIT)
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


class VersionsAnswer(BaseModel):
    """Answer of the routes that show the versions; more may be added."""

    current: str
    previous: str | None
    versions: list[dict[str, Any]]
    split: dict[str, float]
    shadow: str | None
    events: list[dict[str, Any]]


class LoadAnswer(BaseModel):
    """Answer of `POST /admin/versions`."""

    version: str
    previous: str | None
    changed: bool
    labels_added: list[str]
    labels_removed: list[str]
    seconds: float


class RollBackAnswer(BaseModel):
    """Answer of `POST /admin/rollback`."""

    version: str
    previous: str | None


_OLD, _NEW = "1f2e3d4c5b6a", "83be0a1c2d3e"
_VERSIONS: dict[str, object] = {
    "current": _OLD,
    "previous": None,
    "versions": [{"name": _OLD, "share": 1.0}],
    "split": {_OLD: 1.0},
    "shadow": None,
    "events": [],
}
_BODY = (400, 408, 413, 415, 422)
_SHOW = Page(
    summary="Versions, shares and events",
    answer=VersionsAnswer,
    example=_VERSIONS,
    statuses=(401, 403),
)
_LOAD = Page(
    summary="Load a bundle, and switch to it unless `activate` is false",
    answer=LoadAnswer,
    example={
        "version": _NEW,
        "previous": _OLD,
        "changed": True,
        "labels_added": [],
        "labels_removed": [],
        "seconds": 1.7,
    },
    body=LoadBody,
    examples={
        "switch": {"bundle": "/bundles/moderation-2"},
        "only load": {"bundle": "/bundles/moderation-3", "activate": False},
    },
    statuses=(*ADMIN, *_BODY, 503),
)
_UNLOAD = Page(
    summary="Drop a version that answers nothing",
    answer=VersionsAnswer,
    example=_VERSIONS,
    statuses=ADMIN,
)
_ROLL_BACK = Page(
    summary="Let the version before the last switch answer again",
    answer=RollBackAnswer,
    example={"version": _OLD, "previous": _NEW},
    statuses=ADMIN,
)
_SPLIT = Page(
    summary="Deal the traffic among the loaded versions",
    answer=VersionsAnswer,
    example={**_VERSIONS, "split": {_OLD: 0.9, _NEW: 0.1}},
    body=SplitBody,
    examples={"a tenth for the new one": {"versions": {_OLD: 0.9, _NEW: 0.1}}},
    statuses=(*ADMIN, *_BODY),
)
