"""Bodies of requests: read straight from bytes, refused with a message that holds no text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, TypeVar
from urllib.parse import unquote_to_bytes

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)

from thinfer.serve.errors import InvalidBodyError, MalformedError
from thinfer.text.long_text import LongText, Policy, Pooling

__all__ = [
    "WHOLE",
    "CheckBody",
    "LongTextFields",
    "PredictBody",
    "RequestBody",
    "read_body",
    "read_query",
    "read_query_fields",
    "split_inputs",
]

Texts = tuple[str, ...]
Pair = Annotated[list[StrictStr], Field(min_length=2, max_length=2)]
Alone = Annotated[list[StrictStr], Field(min_length=1, max_length=1)]


def _drop_zero_fraction(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# In JSON Schema 1.0 is an integer too. Stands last, or the limits before it would not be described.
WHOLE = BeforeValidator(_drop_zero_fraction)

LONG_TEXT: Mapping[str, str] = MappingProxyType(
    {
        "long_text": "error, head, tail, head_tail or windows",
        "pooling": "max or mean",
    }
)


class RequestBody(BaseModel):
    """A body; fields that it does not know are left alone, as clients of other services send some.

    Attributes:
        expected: what each field should be. Pydantic reports every branch of a union; one
            sentence says it better.
    """

    model_config = ConfigDict(frozen=True)
    expected: ClassVar[Mapping[str, str]]


class LongTextFields(RequestBody):
    """What a request may say about texts that are too long.

    Attributes:
        long_text: what becomes of them; the bundle's own rule when absent.
        pooling: of windows; `max` where the bundle names a normal label, else `mean`.
    """

    expected = LONG_TEXT

    long_text: Policy | None = Field(
        default=None,
        description="What becomes of a text that is too long; by default the bundle's own rule.",
    )
    pooling: Pooling | None = Field(
        default=None, description="How windows are brought together; only with `windows`."
    )

    def to_rule(self, *, overlap: float) -> LongText | None:
        """Give the rule asked for, None where the bundle's own shall hold.

        Args:
            overlap: share of a window that its neighbour reads too.

        Raises:
            InvalidBodyError: a pooling without windows.
        """
        if self.pooling is not None and self.long_text != "windows":
            what = "the field 'pooling' is given without windows"
            raise InvalidBodyError(what, expected="'long_text': 'windows' beside it")
        if self.long_text is None:
            return None
        return LongText(policy=self.long_text, pooling=self.pooling, overlap=overlap)


class CheckBody(LongTextFields):
    """Body of `POST /check`.

    Attributes:
        content: the text.
        pair: the second text, for models of text pairs.
    """

    expected = MappingProxyType(
        {**LONG_TEXT, "content": "a string", "pair": "a string, or null"},
    )

    content: StrictStr = Field(description="The text to classify.")
    pair: StrictStr | None = Field(
        default=None, description="The second text, for models of text pairs."
    )


class PredictBody(LongTextFields):
    """Body of `POST /predict`, as text-embeddings-inference has it, and a little more.

    Attributes:
        inputs: one text, a list of texts, or a list of `[text, pair]`.
        truncate: false refuses a text that is too long instead of cutting it.
        truncation_direction: `right` cuts the end, `left` the beginning.
        raw_scores: logits instead of probabilities.
        top_k: so many labels, the best first; all of them when absent.
        details: objects that also say how many tokens were run, instead of bare lists.
    """

    expected = MappingProxyType(
        {
            **LONG_TEXT,
            "inputs": "a string, a list of strings, or a list of [text, pair]; not empty",
            "truncate": "true, false or null",
            "truncation_direction": "'left' or 'right'",
            "raw_scores": "true or false",
            "top_k": "a whole number from 1, or null",
            "details": "true or false",
        }
    )

    inputs: (
        StrictStr
        | Annotated[list[StrictStr | Alone], Field(min_length=1)]
        | Annotated[list[Pair], Field(min_length=1)]
    ) = Field(description="A text, a list of texts, or a list of [text, pair].")
    truncate: StrictBool | None = Field(
        default=None, description="false refuses a text that is too long."
    )
    truncation_direction: Literal["left", "right", "Left", "Right"] | None = Field(
        default=None, description="Which end of a text that is too long is cut off."
    )
    raw_scores: StrictBool = Field(default=False, description="Logits, not probabilities.")
    top_k: Annotated[StrictInt, Field(ge=1), WHOLE] | None = Field(
        default=None, description="So many labels, the best first; by default all."
    )
    details: StrictBool = Field(
        default=False, description="Objects with predictions, truncated and token counts."
    )

    def to_rule(self, *, overlap: float) -> LongText | None:
        """Give the rule asked for, in this route's words or in those of text-embeddings-inference.

        Args:
            overlap: share of a window that its neighbour reads too.

        Raises:
            InvalidBodyError: the fields contradict each other.
        """
        rule = LongTextFields.to_rule(self, overlap=overlap)
        side: Policy | None = None
        if self.truncate is False:
            side = "error"
        elif self.truncation_direction is not None:
            side = "tail" if self.truncation_direction.lower() == "left" else "head"
        if side is None or (rule is not None and rule.policy == side):
            return rule
        if rule is not None:
            what = "the fields 'long_text' and 'truncate' or 'truncation_direction' disagree"
            raise InvalidBodyError(what, expected="one of them")
        return LongText(policy=side)


Body = TypeVar("Body", bound=RequestBody)


def read_body(cls: type[Body], raw: bytes) -> Body:
    """Read a JSON body.

    Args:
        cls: what it should be.
        raw: the bytes as received.

    Returns:
        The checked body.

    Raises:
        MalformedError: not JSON, not UTF-8, a lone surrogate, nested too deep, or a key twice.
        InvalidBodyError: a field is missing or has the wrong type.
    """
    try:
        body = cls.model_validate_json(raw)
    except ValidationError as error:
        # Never the input itself: it is the user's text, and may not be printable.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            what = "the body is not valid JSON"
            raise MalformedError(what, expected="UTF-8 encoded JSON", got=first["msg"]) from None
        name = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            what = "the body has a field that is not known"
            raise InvalidBodyError(what, expected=f"fields {sorted(cls.model_fields)}") from None
        if name not in cls.expected:
            what = "the body is not a JSON object"
            raise InvalidBodyError(what, expected=f"fields {sorted(cls.model_fields)}") from None
        problem = "is missing" if first["type"] == "missing" else "has the wrong type or value"
        what = f"the field '{name}' {problem}"
        raise InvalidBodyError(what, expected=cls.expected[name]) from None
    if raw.count(b":") > 1:  # with one colon there is one key
        # Read a second time, for the first reader keeps the last of equal keys and says nothing;
        # it has made sure that the nesting is shallow. Numbers may be too long for Python.
        json.loads(raw, object_pairs_hook=_refuse_twice, parse_int=len, parse_float=len)
    return body


def read_query(raw: bytes, name: str) -> str:
    """Give one value of a query string; of several the last.

    Args:
        raw: after the `?`, percent-encoded or plain UTF-8.
        name: of the value.

    Raises:
        InvalidBodyError: the name is absent.
    """
    found = _find_in_query(raw, name)
    if found is None:
        what = f"the query has no '{name}'"
        raise InvalidBodyError(what, expected=f"?{name}=…")
    return found


def read_query_fields(raw: bytes) -> CheckBody:
    """Read the query of `GET /check`, whose names are the fields of the body.

    Args:
        raw: after the `?`, percent-encoded or plain UTF-8.

    Raises:
        InvalidBodyError: `content` is absent, or another value is not one of those allowed.
    """
    fields: dict[str, str] = {"content": read_query(raw, "content")}
    if raw.count(b"&"):
        others = {name: _find_in_query(raw, name) for name in ("pair", "long_text", "pooling")}
        fields |= {name: value for name, value in others.items() if value is not None}
    try:
        return CheckBody.model_validate(fields)
    except ValidationError as error:
        name = str(error.errors(include_url=False, include_input=False)[0]["loc"][0])
        what = f"the query's '{name}' is not one of the values allowed"
        raise InvalidBodyError(what, expected=CheckBody.expected[name]) from None


def split_inputs(body: PredictBody) -> tuple[Texts, Texts | None]:
    """Give the texts of a body, and their pairs if it holds pairs.

    Args:
        body: of `POST /predict`.

    Returns:
        `(texts, pairs)`, of the same length; pairs is None for plain texts.
    """
    if isinstance(body.inputs, str):
        return (body.inputs,), None
    rows = [[item] if isinstance(item, str) else item for item in body.inputs]
    texts = tuple(row[0] for row in rows)
    return texts, tuple(row[1] for row in rows) if len(rows[0]) == 2 else None


def _refuse_twice(pairs: Sequence[tuple[str, object]]) -> None:
    """Let pass an object whose keys differ.

    Raises:
        MalformedError: a key comes twice.
    """
    if len({key for key, _ in pairs}) < len(pairs):
        what = "a key comes twice in one object of the body"
        raise MalformedError(what, expected="each key once")


def _find_in_query(raw: bytes, name: str) -> str | None:
    """Give the last value of a name, None where it is absent.

    Raises:
        MalformedError: the value is not UTF-8.
    """
    found: bytes | None = None
    for item in raw.split(b"&"):
        key, _, value = item.partition(b"=")
        if unquote_to_bytes(key.replace(b"+", b" ")) == name.encode():
            found = value
    if found is None:
        return None
    try:
        return unquote_to_bytes(found.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"the query's '{name}' is not UTF-8"
        raise MalformedError(what, got=f"a bad byte at position {error.start}") from None
