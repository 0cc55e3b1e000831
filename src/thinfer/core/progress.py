"""How long work tells of its progress: a protocol, and one listener that says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["Progress", "SilentProgress"]


class Progress(Protocol):
    """A listener for long work; the command line draws bars with it."""

    def task(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Open a bar of `total` steps; the value given advances it by so many steps."""

    def note(self, text: str) -> None:
        """Tell one line that outlives the bars."""


class SilentProgress:
    """Progress that is not shown."""

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Open nothing; advancing does nothing."""
        del label, total
        yield lambda steps: None

    def note(self, text: str) -> None:
        """Drop the line."""
        del text
