"""A request in the queue: its texts, its places, and where the answer arrives."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import ThinferError
from thinfer.text.batch import Batch

__all__ = ["Logits", "Permit", "Slice", "Ticket"]

Logits = NDArray[np.float32]


@dataclass(slots=True, eq=False, kw_only=True)
class Permit:
    """The places in the queue that one request still holds."""

    places: int


@dataclass(slots=True, eq=False, kw_only=True)
class Ticket:
    """One request; its rows may be spread over several engine calls.

    Attributes:
        batch: its texts.
        permit: its places; given back as the engine takes the texts.
        done: where the logits float32 `[texts, classes]` or the error arrive.
        queued_s: the clock's reading at submission.
        taken_s: the reading when the engine took its first text.
        finished_s: the reading when its last part came back.
        deadline_s: the reading after which nobody wants the answer; None for never.
        next_row: the first row that the engine has not taken.
        lengths: tokens of each text.
    """

    batch: Batch
    permit: Permit
    done: asyncio.Future[Logits]
    queued_s: float
    deadline_s: float | None = None
    taken_s: float = 0.0
    finished_s: float = 0.0
    next_row: int = 0
    lengths: list[int] = field(init=False)
    _parts: dict[int, Logits] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.lengths = self.batch.lengths.tolist()

    @property
    def is_taken(self) -> bool:
        """Whether the engine has taken all of it."""
        return self.next_row == len(self.lengths)

    @property
    def queue_s(self) -> float:
        """Seconds from submission to the engine."""
        return self.taken_s - self.queued_s

    @property
    def infer_s(self) -> float:
        """Seconds from the first text's turn to the last text's logits."""
        return self.finished_s - self.taken_s

    def is_late(self, now: float) -> bool:
        """Whether the deadline has passed at a reading of the clock."""
        return self.deadline_s is not None and now >= self.deadline_s

    def fail(self, error: ThinferError, finished_s: float) -> None:
        """End the ticket with an error, unless it has ended already."""
        self.finished_s = finished_s
        if not self.done.done():
            self.done.set_exception(error)

    def add_part(self, start: int, result: Logits | ThinferError, finished_s: float) -> None:
        """Take the rows from `start` on; the last part to come, or an error, ends the ticket.

        Args:
            start: the first row of the part; parts come in any order where calls overlap.
            result: float32 `[rows, classes]`, or why there is none.
            finished_s: the clock's reading.
        """
        if isinstance(result, ThinferError):
            self.fail(result, finished_s)
            return
        self.finished_s = finished_s
        if self.done.done():
            return
        self._parts[start] = result
        if len(result) == len(self.lengths):  # all in one call, as most requests are
            self.done.set_result(result)
        elif sum(map(len, self._parts.values())) == len(self.lengths):
            self.done.set_result(np.concatenate([self._parts[key] for key in sorted(self._parts)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The rows `start … stop - 1` of a ticket, in one engine call."""

    ticket: Ticket
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def batch(self) -> Batch:
        """The rows as a batch."""
        if len(self) == len(self.ticket.lengths):
            return self.ticket.batch
        return self.ticket.batch.select(range(self.start, self.stop))
