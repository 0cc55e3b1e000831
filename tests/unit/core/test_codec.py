from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pytest

from thinfer.core.codec import from_json, to_json
from thinfer.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: int
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.size < 0:
            raise DataError("the size is negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    KIND: ClassVar[str] = "test.outer"
    VERSION: ClassVar[int] = 2

    name: str
    mode: Literal["a", "b"] = "a"
    parts: tuple[Inner, ...] = ()
    pair: tuple[int, str] = (1, "x")
    options: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    best: Inner | None = None
    rest: Mapping[str, Any] = field(default_factory=dict)


FULL = Outer(
    name="n",
    mode="b",
    parts=(Inner(size=1), Inner(size=2, share=1.0)),
    pair=(3, "y"),
    options={"i": 1, "f": 1.5, "s": "t", "b": True},
    best=Inner(size=0),
    rest={"deep": [1, {"x": None}]},
)


@pytest.mark.parametrize("value", [FULL, Outer(name="")])
def test_there_and_back(value: Outer) -> None:
    body = to_json(value)
    assert (body["kind"], body["version"]) == ("test.outer", 2)
    back = from_json(Outer, body)
    assert back == value
    assert [type(item) for item in back.options.values()] == [
        type(item) for item in value.options.values()
    ]


def test_an_integer_may_stand_for_a_float_but_not_the_reverse() -> None:
    share = from_json(Inner, {"size": 1, "share": 1}).share
    assert isinstance(share, float)
    with pytest.raises(DataError, match=r"Inner\.size"):
        from_json(Inner, {"size": 1.0})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "test.other"},
        {"version": 3},
        {"version": None},
        {"extra": 1},
        {"name": 1},
        {"name": None},
        {"mode": "c"},
        {"parts": "xy"},
        {"parts": [{"size": -1}]},
        {"parts": [{"size": True}]},
        {"parts": [{"size": 1, "other": 2}]},
        {"parts": [{}]},
        {"parts": {"size": 1}},
        {"pair": [1]},
        {"pair": ["x", 1]},
        {"options": {"a": None}},
        {"options": [1]},
        {"best": 3},
    ],
)
def test_what_the_class_does_not_declare_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        from_json(Outer, to_json(FULL) | change)


def test_a_missing_key_and_a_wrong_whole_are_refused() -> None:
    body = to_json(FULL)
    del body["name"]
    with pytest.raises(DataError, match="missing keys \\['name'\\]"):
        from_json(Outer, body)
    others: tuple[object, ...] = (None, [], "x", 1)
    for other in others:
        with pytest.raises(DataError, match="an object"):
            from_json(Outer, other)
