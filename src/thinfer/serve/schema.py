"""Bodies of requests: read straight from bytes, refused with a message that holds no text."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, TypeVar
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from thinfer.serve.errors import InvalidBodyError, MalformedError

__all__ = ["CheckBody", "PredictBody", "read_body", "read_query", "split_inputs"]

Texts = tuple[str, ...]
One = Annotated[list[StrictStr], Field(min_length=1, max_length=2)]

# Pydantic reports every branch of a union; one sentence says it better.
EXPECTED: Mapping[str, str] = MappingProxyType(
    {
        "content": "a string",
        "inputs": "a string, a list of strings, or a list of [text, pair]; not empty",
        "truncate": "true, false or null",
        "raw_scores": "true or false",
        "bundle": "the path of a bundle",
        "activate": "true or false",
        "versions": "an object of names and shares",
        "shadow": "a name or null",
    }
)


class CheckBody(BaseModel):
    """Body of `POST /check`."""

    model_config = ConfigDict(frozen=True)

    content: StrictStr


class PredictBody(BaseModel):
    """Body of `POST /predict`.

    Attributes:
        inputs: one text, a list of texts, or a list of `[text, pair]`.
        truncate: false refuses a text that is too long instead of cutting it.
        raw_scores: logits instead of probabilities.
    """

    model_config = ConfigDict(frozen=True)

    inputs: StrictStr | Annotated[list[StrictStr | One], Field(min_length=1)]
    truncate: StrictBool | None = None
    raw_scores: StrictBool = False


Body = TypeVar("Body", bound=BaseModel)


def read_body(cls: type[Body], raw: bytes) -> Body:
    """Read a JSON body.

    Args:
        cls: what it should be.
        raw: the bytes as received.

    Returns:
        The checked body.

    Raises:
        MalformedError: not JSON, not UTF-8, a lone surrogate, or nested too deep.
        InvalidBodyError: a field is missing or has the wrong type.
    """
    try:
        return cls.model_validate_json(raw)
    except ValidationError as error:
        # Never the input itself: it is the user's text, and may not be printable.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            what = "the body is not valid JSON"
            raise MalformedError(what, expected="UTF-8 encoded JSON", got=first["msg"]) from None
        name = str(first["loc"][0]) if first["loc"] else ""
        if name not in EXPECTED:
            what = "the body is not a JSON object"
            raise InvalidBodyError(what, expected=f"fields {sorted(cls.model_fields)}") from None
        problem = "is missing" if first["type"] == "missing" else "has the wrong type or value"
        what = f"the field '{name}' {problem}"
        raise InvalidBodyError(what, expected=EXPECTED[name]) from None


def read_query(raw: bytes, name: str) -> str:
    """Give one value of a query string; of several the last.

    Args:
        raw: after the `?`, percent-encoded or plain UTF-8.
        name: of the value.

    Raises:
        MalformedError: the value is not UTF-8.
        InvalidBodyError: the name is absent.
    """
    found: bytes | None = None
    for item in raw.split(b"&"):
        key, _, value = item.partition(b"=")
        if unquote_to_bytes(key.replace(b"+", b" ")) == name.encode():
            found = value
    if found is None:
        what = f"the query has no '{name}'"
        raise InvalidBodyError(what, expected=f"?{name}=…")
    try:
        return unquote_to_bytes(found.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"the query's '{name}' is not UTF-8"
        raise MalformedError(what, got=f"a bad byte at position {error.start}") from None


def split_inputs(body: PredictBody) -> tuple[Texts, Texts | None]:
    """Give the texts of a body, and their pairs if it holds pairs.

    Args:
        body: of `POST /predict`.

    Returns:
        `(texts, pairs)`, of the same length; pairs is None for plain texts.

    Raises:
        InvalidBodyError: only some of the texts have a pair.
    """
    if isinstance(body.inputs, str):
        return (body.inputs,), None
    rows = [[item] if isinstance(item, str) else item for item in body.inputs]
    texts = tuple(row[0] for row in rows)
    widths = {len(row) for row in rows}
    if widths == {1}:
        return texts, None
    if widths == {2}:
        return texts, tuple(row[1] for row in rows)
    what = "the field 'inputs' mixes texts and pairs"
    raise InvalidBodyError(what, expected=EXPECTED["inputs"])
