"""What a route is asked: bodies of the routes that services of this kind have, made of texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from thinfer.errors import UserError

__all__ = ["ROUTES", "Route", "draw_texts", "make_bodies", "read_template"]

ONE, MANY = "{text}", "{texts}"
MOST_TEXTS = 20_000  # bodies are held in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route by name.

    Attributes:
        path: where it is, below the service's address; `{model}` stands for a name.
        build: texts of one request → its JSON value.
        takes_many: whether a request may hold several texts.
    """

    path: str
    build: Callable[[Sequence[str]], object]
    takes_many: bool


def read_template(text: str) -> Route:
    """Read the body of the route `raw`: JSON in which a whole string stands for the texts.

    Args:
        text: for example `{"inputs": "{text}"}`, or `{"data": {"ndarray": "{texts}"}}` for a list.

    Returns:
        The route; its path is the URL's own.

    Raises:
        UserError: it is not JSON, or holds none of the two marks, or both.
    """
    what = "the body template cannot be used"
    expected = f"JSON in which a string is {ONE} (one text) or {MANY} (a list)"
    try:
        template = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(what, expected=expected, got=str(error)) from error
    marks = {mark for mark in (ONE, MANY) if _fill(template, mark, None) != template}
    if len(marks) != 1:
        raise UserError(what, expected=expected, got="both" if marks else "neither")
    (mark,) = marks

    def build(texts: Sequence[str]) -> object:
        return _fill(template, mark, texts[0] if mark == ONE else list(texts))

    return Route(path="", build=build, takes_many=mark == MANY)


def make_bodies(route: Route, texts: Sequence[str], *, batch: int) -> tuple[bytes, ...]:
    """Write the bodies of requests, each text in one of them.

    Args:
        route: whose form they have.
        texts: at least one, in the order of sending.
        batch: texts of one request; the last one is filled up from the start.

    Raises:
        UserError: there is no text, or the route takes one text a request only.
    """
    if not texts or batch < 1:
        what = "there is nothing to send"
        raise UserError(what, expected="a text, and 1 or more a request", got=f"{batch} a request")
    if batch > 1 and not route.takes_many:
        what = "this route takes one text a request"
        raise UserError(what, got=f"--batch {batch}", do="choose predict, moderations or oip")
    groups = [
        [texts[(start + step) % len(texts)] for step in range(batch)]
        for start in range(0, len(texts), batch)
    ]
    return tuple(json.dumps(route.build(group)).encode() for group in groups)


def draw_texts(texts: Sequence[str], *, rng: np.random.Generator) -> list[str]:
    """Give the texts in a drawn order: a file may be sorted, and so its lengths.

    Args:
        texts: of the file.
        rng: where chance comes from.

    Returns:
        Each once; of more than 20,000 so many.
    """
    return [texts[index] for index in rng.permutation(len(texts))[:MOST_TEXTS]]


def _one_or_list(name: str) -> Callable[[Sequence[str]], object]:
    return lambda texts: {name: texts[0] if len(texts) == 1 else list(texts)}


def _tensor(texts: Sequence[str]) -> object:
    """The Open Inference Protocol's form: one BYTES tensor."""
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
    return {"inputs": [tensor]}


def _fill(value: Any, mark: str, found: object) -> Any:  # noqa: ANN401 - JSON is what it is
    """Give the value with every string that is the mark replaced."""
    if isinstance(value, dict):
        return {key: _fill(item, mark, found) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, mark, found) for item in value]
    return found if value == mark else value


ROUTES: Mapping[str, Route] = MappingProxyType(
    {
        "check": Route(path="/check", build=lambda texts: {"content": texts[0]}, takes_many=False),
        "predict": Route(path="/predict", build=_one_or_list("inputs"), takes_many=True),
        "moderations": Route(path="/v1/moderations", build=_one_or_list("input"), takes_many=True),
        "oip": Route(path="/v2/models/{model}/infer", build=_tensor, takes_many=True),
    }
)
