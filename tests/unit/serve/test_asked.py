"""The headers of a request: read where they are, refused where they make no sense."""

from __future__ import annotations

import pytest

from thinfer.serve.asked import Asked, read_asked
from thinfer.serve.errors import InvalidBodyError
from thinfer.serve.waiting import Priority


def scope(**headers: str) -> dict[str, object]:
    return {"headers": [(f"x-thinfer-{k}".encode(), v.encode()) for k, v in headers.items()]}


def test_a_request_without_wishes_has_none() -> None:
    assert read_asked({"headers": [(b"host", b"here")]}) == Asked()


def test_every_wish_is_read() -> None:
    found = read_asked(scope(use="abc", key="user 7", priority="LOW", **{"deadline-ms": "12.5"}))
    assert found == Asked(use="abc", key="user 7", deadline_ms=12.5, priority=Priority.LOW)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon", "", "3600001"])
def test_a_deadline_must_be_a_time(value: str) -> None:
    with pytest.raises(InvalidBodyError, match="deadline"):
        read_asked(scope(**{"deadline-ms": value}))


@pytest.mark.parametrize("value", ["", "urgent", "probe"])
def test_a_class_must_exist(value: str) -> None:
    with pytest.raises(InvalidBodyError, match="priority"):
        read_asked(scope(priority=value))
