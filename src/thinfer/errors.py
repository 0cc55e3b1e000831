"""The one error tree; the branch says whose fault it is and the exit code follows from it.

    ThinferError                  exit
    ├── UserError                 2     the command, an option or an argument is wrong
    ├── DataError                 3     a data file, checkpoint or bundle is wrong
    ├── QualityError              4     the floor is broken, or no candidate holds it
    ├── EngineError               5     an engine is missing, cannot load or failed to run
    ├── OverloadError             5     the service has no room; try again later
    └── InternalError             1     a bug of ours, or the machine (disk full)

A message has four parts: what is wrong, what was expected, what was got, what to do. Outer
layers add the address (`row=812`, `layer=7`, `file=…`) with `at`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

__all__ = [
    "DataError",
    "EngineError",
    "InternalError",
    "OverloadError",
    "QualityError",
    "ThinferError",
    "UserError",
    "at",
]


class ThinferError(Exception):
    """Root of every error that thinfer raises on purpose.

    Args:
        what: what is wrong, as a sentence without a full stop.
        expected: what would have been right.
        got: what was found instead.
        do: what the reader can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        got: str | None = None,
        do: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.got = got
        self.do = do
        self.where: list[tuple[str, str]] = []

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append("at " + ", ".join(f"{key} {value}" for key, value in self.where))
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        if self.got is not None:
            parts.append(f"got {self.got}")
        if self.do is not None:
            parts.append(f"to mend it: {self.do}")
        return "; ".join(parts)


class UserError(ThinferError):
    """The command, an option or an argument is wrong."""

    exit_code = 2


class DataError(ThinferError):
    """A data file, a checkpoint or a bundle is wrong."""

    exit_code = 3


class QualityError(ThinferError):
    """The quality floor is broken, or no candidate holds it."""

    exit_code = 4


class EngineError(ThinferError):
    """An engine is missing, cannot load the model, or failed to run."""

    exit_code = 5


class OverloadError(ThinferError):
    """The service has no room for this request now.

    Args:
        what: what is full.
        retry_after_s: seconds after which a retry makes sense.
    """

    exit_code = 5

    def __init__(self, what: str, *, retry_after_s: float) -> None:
        super().__init__(what, do=f"retry after {retry_after_s:.0f} s or lower the request rate")
        self.retry_after_s = retry_after_s


class InternalError(ThinferError):
    """A bug of ours, or the machine failed (disk full)."""

    exit_code = 1


@contextmanager
def at(**where: object) -> Iterator[None]:
    """Add an address to any thinfer error that leaves the block, outermost first.

    Args:
        **where: names and values of the place, for example `row=812`.

    Raises:
        ThinferError: the error of the block, with the address added.
    """
    try:
        yield
    except ThinferError as error:
        error.where[:0] = [(key, str(value)) for key, value in where.items()]
        raise
