"""What happened to the versions, for the operator: the last hundred events."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from thinfer.core.clock import Clock

__all__ = ["Event", "EventKind", "EventLog"]

logger = logging.getLogger("thinfer.serve")

EventKind = Literal[
    "loaded",
    "switched",
    "rolled_back",
    "auto_rollback",
    "split",
    "arm_stopped",
    "shadow_stopped",
    "refused",
    "unloaded",
]
_KEPT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    Attributes:
        at: ISO 8601, UTC.
        kind: what.
        version: to which; the path of a bundle that was refused before it had a name.
        reason: why, in words; "" where the operator asked for it.
    """

    at: str
    kind: EventKind
    version: str
    reason: str


class EventLog:
    """Remembers events, writes them to the log and counts them.

    Args:
        clock: gives their time.
        count: told the kind of each.
    """

    def __init__(self, clock: Clock, count: Callable[[EventKind], None]) -> None:
        self._clock, self._count = clock, count
        self._events: deque[Event] = deque(maxlen=_KEPT)
        self._is_following = False

    def __iter__(self) -> Iterator[Event]:
        return iter(tuple(self._events))

    def add(self, kind: EventKind, version: str, reason: str = "") -> None:
        """Take note of an event; nothing while another process's events are taken over."""
        if self._is_following:
            return
        at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="seconds")
        self._events.append(Event(at=at, kind=kind, version=version, reason=reason))
        self._count(kind)
        logger.info("version %s: %s%s", version, kind, f": {reason}" if reason else "")

    def to_list(self) -> list[dict[str, str]]:
        """Give the events as JSON, the oldest first."""
        return [asdict(event) for event in self._events]

    @contextmanager
    def following(self, events: Iterable[Mapping[str, Any]]) -> Iterator[None]:
        """Take over the events of another process, which has counted and logged them.

        Args:
            events: as `to_list` gives them; they stand here after the block, in which `add` does
                nothing.
        """
        self._is_following = True
        try:
            yield
            self._events = deque((Event(**event) for event in events), maxlen=_KEPT)
        finally:
            self._is_following = False
