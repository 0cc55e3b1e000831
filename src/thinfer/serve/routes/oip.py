"""The Open Inference Protocol, version 2: all of its REST routes.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import thinfer
from thinfer.serve.describe import PROBES, WORK, Page, add_route, path_parameter
from thinfer.serve.errors import NotFoundError, UnsupportedEncodingError
from thinfer.serve.reading import read_json
from thinfer.serve.routes.health import check_alive
from thinfer.serve.routes.tensors import (
    InferBody,
    list_tensors,
    read_outputs,
    read_texts,
    write_outputs,
)
from thinfer.serve.service import Service
from thinfer.serve.version import Version

__all__ = ["add_oip"]

# Of the binary extension: how much of the body is JSON.
BINARY_HEADER = "inference-header-content-length"
MODEL = path_parameter("name", "The model's name, as `GET /info` says it.", "moderation")
VERSION = path_parameter("version", "A version: 12 hexadecimal digits.", "1f2e3d4c5b6a")
HEAD = {"name": "moderation", "versions": ["1f2e3d4c5b6a"], "platform": "thinfer_native"}
TEXTS = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["win a prize", "see you"]}


class TensorAnswer(BaseModel):
    """A tensor, or its description where it has no data."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None


class ServerAnswer(BaseModel):
    """Answer of `GET /v2`."""

    name: str
    version: str
    extensions: list[str]


class LiveAnswer(BaseModel):
    """Answer of `GET /v2/health/live`."""

    live: bool


class ReadyAnswer(BaseModel):
    """Answer of `GET /v2/health/ready`."""

    live: bool
    ready: bool


class ModelReadyAnswer(BaseModel):
    """Answer of `GET /v2/models/…/ready`."""

    name: str
    ready: bool


class ModelAnswer(BaseModel):
    """Answer of `GET /v2/models/…`."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorAnswer]
    outputs: list[TensorAnswer]
    parameters: dict[str, Any]


class InferAnswer(BaseModel):
    """Answer of `POST /v2/models/…/infer`."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[TensorAnswer]


def add_oip(router: APIRouter, service: Service) -> None:
    """Add every route of the protocol.

    Args:
        router: where.
        service: what the routes talk to.
    """
    routes = _Routes(service)
    add_route(router, "GET /v2", routes.server, page=_SERVER)
    add_route(router, "GET /v2/health/live", routes.live, page=_LIVE)
    add_route(router, "GET /v2/health/ready", routes.ready, page=_READY)
    for path, parameters in (
        ("/v2/models/{name}", [MODEL]),
        ("/v2/models/{name}/versions/{version}", [MODEL, VERSION]),
    ):
        pages = _pages(parameters)
        add_route(router, f"GET {path}", routes.model, page=pages["model"])
        add_route(router, f"GET {path}/ready", routes.model_ready, page=pages["ready"])
        add_route(router, f"POST {path}/infer", routes.infer, page=pages["infer"])


class _Routes:
    """One method a route."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def server(self) -> Response:
        """Name the server."""
        answer = {"name": "thinfer", "version": thinfer.__version__, "extensions": []}
        return JSONResponse(answer)

    async def live(self) -> Response:
        """Say whether the process can still work."""
        check_alive(self._service.router.current)
        return JSONResponse({"live": True})

    async def ready(self) -> Response:
        """Say whether a real inference works now; the protocol's text calls this field `live`."""
        await self._service.check_ready()
        return JSONResponse({"live": True, "ready": True})

    async def model(self, request: Request) -> Response:
        """Describe the model."""
        classifier = self._find(request).classifier
        inputs, outputs = list_tensors(len(classifier.labels))
        answer = {
            "name": self._service.model_name,
            "versions": list(self._service.router.loaded),
            "platform": f"thinfer_{classifier.engine.info.name}",
            "inputs": inputs,
            "outputs": outputs,
            "parameters": {
                "labels": list(classifier.labels),
                "max_length": classifier.tokenizer.max_length,
            },
        }
        return JSONResponse(answer)

    async def model_ready(self, request: Request) -> Response:
        """Say whether a real inference works now, and whether the version's worker can work."""
        check_alive(self._find(request))
        await self._service.check_ready()
        return JSONResponse({"name": self._service.model_name, "ready": True})

    async def infer(self, request: Request) -> Response:
        """Classify the texts of a tensor.

        Raises:
            UnsupportedEncodingError: the body holds binary tensors.
        """
        with self._service.lifecycle.work():
            use = request.path_params.get("version")
            self._find(request)
            settings = self._service.settings
            if BINARY_HEADER in request.headers:
                what = "tensors in binary form are not read"
                raise UnsupportedEncodingError(what, expected="data in the JSON itself")
            body = await read_json(request, InferBody, settings=settings)
            (texts, pairs), outputs = read_texts(body), read_outputs(body)
            rule = None
            if body.parameters is not None:
                rule = body.parameters.to_rule(overlap=settings.window_overlap)
            answered = await self._service.classify(
                request, texts, pairs=pairs, long_text=rule, use=use
            )
            answer: dict[str, object] = {
                "model_name": self._service.model_name,
                "model_version": answered.version.name,
            }
            if body.id is not None:
                answer["id"] = body.id
            answer["outputs"] = write_outputs(answered, outputs)
            return JSONResponse(answer)

    def _find(self, request: Request) -> Version:
        """Give the version of the path, the current one where it names none.

        Raises:
            NotFoundError: no such model.
        """
        router = self._service.router
        if request.path_params["name"] != self._service.model_name:
            what = "there is no such model"
            raise NotFoundError(what, expected=self._service.model_name)
        name = request.path_params.get("version")
        return router.current if name is None else router.find(name)


_SERVER = Page(
    summary="Name and version of the server",
    answer=ServerAnswer,
    example={"name": "thinfer", "version": thinfer.__version__, "extensions": []},
    statuses=(401,),
)
_LIVE = Page(
    summary="Whether the process can still work",
    answer=LiveAnswer,
    example={"live": True},
    statuses=PROBES,
)
_READY = Page(
    summary="Whether a real inference works now",
    answer=ReadyAnswer,
    example={"live": True, "ready": True},
    statuses=PROBES,
)


def _pages(parameters: list[dict[str, object]]) -> dict[str, Page]:
    """Give the descriptions of a model's routes, with or without the version in the path."""
    inputs, outputs = list_tensors(3)
    described: dict[str, object] = {**HEAD, "inputs": inputs, "outputs": outputs}
    described["parameters"] = {"labels": ["normal", "spam", "abuse"], "max_length": 128}
    tensors = [
        {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["spam", "normal"]},
        {"name": "tokens", "datatype": "INT64", "shape": [2], "data": [5, 4]},
    ]
    head = {"model_name": "moderation", "model_version": "1f2e3d4c5b6a", "id": "42"}
    return {
        "model": Page(
            summary="The model's inputs, outputs and labels",
            answer=ModelAnswer,
            example=described,
            parameters=parameters,
            statuses=(401, 404),
        ),
        "ready": Page(
            summary="Whether a real inference works now",
            answer=ModelReadyAnswer,
            example={"name": "moderation", "ready": True},
            parameters=parameters,
            statuses=(401, 404, *PROBES),
        ),
        "infer": Page(
            summary="Classify the texts of a BYTES tensor",
            answer=InferAnswer,
            example={**head, "outputs": tensors},
            body=InferBody,
            examples={
                "texts": {"id": "42", "inputs": [TEXTS]},
                "some outputs": {
                    "inputs": [TEXTS],
                    "outputs": [{"name": "label"}, {"name": "logits"}],
                },
                "pairs": {"inputs": [TEXTS, {**TEXTS, "name": "text_pair"}]},
                "long texts": {"inputs": [TEXTS], "parameters": {"long_text": "windows"}},
            },
            parameters=parameters,
            statuses=WORK,
        ),
    }
