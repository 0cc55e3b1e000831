"""What a request asks for in its headers: a version, a sticky key, a deadline, a class."""

from __future__ import annotations

import math
from dataclasses import dataclass

from starlette.types import Scope

from thinfer.serve.errors import InvalidBodyError
from thinfer.serve.waiting import Priority

__all__ = ["Asked", "read_asked"]

_LONGEST_MS = 3_600_000.0
_CLASSES = {b"high": Priority.HIGH, b"normal": Priority.NORMAL, b"low": Priority.LOW}
_NAMES = (b"x-thinfer-use", b"x-thinfer-key", b"x-thinfer-deadline-ms", b"x-thinfer-priority")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The wishes of a request.

    Attributes:
        use: name of the version that shall answer; the router chooses when None.
        key: requests of one key stay with one version.
        deadline_ms: the answer is worth nothing later than this after the request's arrival.
        priority: its class in the queue.
    """

    use: str | None = None
    key: str | None = None
    deadline_ms: float | None = None
    priority: Priority = Priority.NORMAL


_NOTHING = Asked()


def read_asked(scope: Scope) -> Asked:
    """Read the headers `x-thinfer-use`, `-key`, `-deadline-ms` and `-priority`.

    Raises:
        InvalidBodyError: a deadline is no positive number, or there is no such class.
    """
    found = {name: value for name, value in scope["headers"] if name in _NAMES}
    if not found:
        return _NOTHING
    priority = _CLASSES.get(found.get(b"x-thinfer-priority", b"normal").lower())
    if priority is None:
        what = "the header x-thinfer-priority has no such class"
        raise InvalidBodyError(what, expected="high, normal or low")
    return Asked(
        use=_text(found.get(b"x-thinfer-use")),
        key=_text(found.get(b"x-thinfer-key")),
        deadline_ms=_read_deadline(found.get(b"x-thinfer-deadline-ms")),
        priority=priority,
    )


def _read_deadline(raw: bytes | None) -> float | None:
    if raw is None:
        return None
    try:
        value = float(raw)
    except ValueError:
        value = math.nan
    if not 0 < value <= _LONGEST_MS:
        what = "the header x-thinfer-deadline-ms is no useful time"
        raise InvalidBodyError(what, expected=f"milliseconds, above 0, at most {_LONGEST_MS:.0f}")
    return value


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("latin-1")
