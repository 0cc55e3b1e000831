"""The line in front of an engine: four classes, each first come, first served."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import IntEnum

from thinfer.serve.ticket import Ticket

__all__ = ["Priority", "WaitingLine"]


class Priority(IntEnum):
    """Who goes first; a class waits as long as a higher one has work."""

    PROBE = 0  # the readiness inference and the canary, never a client
    HIGH = 1
    NORMAL = 2
    LOW = 3


class WaitingLine:
    """Tickets that the engine has not taken wholly."""

    def __init__(self) -> None:
        self._classes: tuple[deque[Ticket], ...] = tuple(deque() for _ in Priority)

    def __bool__(self) -> bool:
        return any(self._classes)

    def __iter__(self) -> Iterator[Ticket]:
        for line in self._classes:
            yield from line

    def append(self, ticket: Ticket, priority: Priority) -> None:
        """Let a ticket wait behind all others of its class."""
        self._classes[priority].append(ticket)

    def first(self) -> Ticket:
        """Give the ticket whose turn it is; the line is not empty."""
        return next(iter(self))

    def remove(self, ticket: Ticket) -> None:
        """Take a ticket out, wherever it stands; one that is not there is no mistake."""
        for line in self._classes:
            if ticket in line:
                line.remove(ticket)

    def clear(self) -> None:
        """Take all out."""
        for line in self._classes:
            line.clear()
