"""Adaptive batching: the next batch is whatever waits when the engine comes free; no timer.

Everything but the workers (`_work` and what it calls) runs on the event loop's thread, so no lock
is needed. A ticket's rows may go to several engine calls, and a call may hold several tickets.

A text alone, in front of an engine known to be quick, runs on the event loop itself: to wake a
thread, and to be woken by it, would take longer than such a call.
"""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from thinfer.core.clock import Clock
from thinfer.errors import OverloadError, ThinferError
from thinfer.serve.calling import BatchRun, EngineCaller
from thinfer.serve.errors import LateError, TooManyTextsError, WorkerStoppedError
from thinfer.serve.ticket import Logits, Permit, Slice, Ticket
from thinfer.serve.waiting import Priority, WaitingLine
from thinfer.text.batch import Batch

__all__ = ["BatchLimits", "Batcher"]

logger = logging.getLogger("thinfer.serve")

_REMEMBERED = 0.2  # weight of the newest call in the mean


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How much may wait, and how much one engine call takes.

    Attributes:
        max_queue: texts that may wait; the same rule for single texts and lists.
        max_batch_tokens: tokens of one engine call; one text alone may exceed it.
        max_batch_texts: texts of one engine call.
    """

    max_queue: int
    max_batch_tokens: int
    max_batch_texts: int


class Batcher:
    """Feeds one engine from one bounded queue through its worker threads.

    Args:
        run: the engine's `run`; called from the worker threads only.
        limits: of the queue and of one call.
        clock: measures waiting and running.
        on_run: told about each engine call, on the event loop's thread.
        workers: engine calls that may run side by side, on the same weights.
        quick_s: a text alone whose call will not take longer, by those before, runs on the event
            loop itself; 0 for never.
    """

    def __init__(
        self,
        run: Callable[[Batch], Logits],
        limits: BatchLimits,
        *,
        clock: Clock,
        on_run: Callable[[BatchRun], None],
        workers: int = 1,
        quick_s: float = 0.0,
    ) -> None:
        self._limits, self._clock, self._on_run = limits, clock, on_run
        self._caller = EngineCaller(run, clock)
        self._quick_s = quick_s
        self._queue = WaitingLine()
        self._running: list[list[Slice]] = []  # one list for each call that is under way
        self._waiting = 0
        self._token_s = math.inf  # mean seconds a token of the last calls
        self._is_planned = False
        self._inbox: queue.SimpleQueue[list[Slice] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        # Daemons: an engine call that never returns must not keep a stopping process alive.
        self._threads = [
            threading.Thread(target=self._work, name=f"thinfer-engine-{number}", daemon=True)
            for number in range(workers)
        ]
        self._is_stopping = self._is_stopped = False

    @property
    def waiting(self) -> int:
        """Texts that hold a place and that the engine has not taken yet."""
        return self._waiting

    @property
    def is_full(self) -> bool:
        """Whether not even a single text would be admitted now."""
        return self._waiting >= self._limits.max_queue

    @property
    def is_alive(self) -> bool:
        """Whether the workers can still answer."""
        is_working = self._loop is not None and not self._is_stopped
        return is_working and all(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Start the workers; called once, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    async def stop(self, timeout_s: float = 1.0) -> bool:
        """End the workers after their current calls; whatever still waits fails.

        Args:
            timeout_s: seconds that each worker has for its call.

        Returns:
            Whether all have ended, so that the engine may be closed.
        """
        self._is_stopping = True
        for _ in self._threads:
            self._inbox.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join, timeout_s)
        self._fail_all()
        return not any(thread.is_alive() for thread in self._threads)

    @contextmanager
    def admit(self, texts: int) -> Iterator[Permit]:
        """Hold places in the queue; leaving the block gives back those not used.

        Args:
            texts: how many, at least 1.

        Yields:
            The permit that `submit` asks for.

        Raises:
            TooManyTextsError: more texts than the queue has places at all.
            OverloadError: the queue is too full now.
        """
        permit = Permit(places=0)
        self.admit_more(permit, texts)
        try:
            yield permit
        finally:
            self._give_back(permit, permit.places)

    def admit_more(self, permit: Permit, texts: int) -> None:
        """Let a permit hold further places, under the same rule: a text may become windows.

        Args:
            permit: from `admit`, not yet used.
            texts: how many more, windows counted as texts.

        Raises:
            TooManyTextsError: more texts than the queue has places at all.
            OverloadError: the queue is too full now.
        """
        total = permit.places + texts
        if total > self._limits.max_queue:
            what = "one request holds too many texts"
            expected = f"at most {self._limits.max_queue}, windows counted"
            raise TooManyTextsError(
                what, expected=expected, got=str(total), do="send them in several requests"
            )
        if self._waiting + texts > self._limits.max_queue:
            what = "the queue is full"
            raise OverloadError(what, retry_after_s=1)
        self._waiting += texts
        permit.places = total

    def submit(
        self,
        batch: Batch,
        permit: Permit,
        *,
        priority: Priority = Priority.NORMAL,
        deadline_s: float | None = None,
    ) -> Ticket:
        """Queue a request.

        Args:
            batch: at least one text, at least one token a text.
            permit: from `admit`; `Permit(places=0)` for the readiness probe, which holds no place.
            priority: its class in the queue.
            deadline_s: the clock's reading after which it is not computed any more.

        Returns:
            The ticket; await `ticket.done`, and call `leave` if nobody waits any more.

        Raises:
            WorkerStoppedError: the worker has ended.
        """
        loop = self._loop
        if loop is None or not self.is_alive:
            what = "the engine's worker is not running"
            raise WorkerStoppedError(what)
        now = self._clock.monotonic()
        ticket = Ticket(
            batch=batch,
            permit=permit,
            done=loop.create_future(),
            queued_s=now,
            deadline_s=deadline_s,
        )
        self._queue.append(ticket, priority)
        if not self._is_planned:
            if self._is_quick(ticket):
                # At the end of this turn of the loop, so that what comes with it goes together.
                self._is_planned = True
                loop.call_soon(self._start_planned)
            else:
                self._dispatch()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Drop a request whose client has gone; texts not yet taken are never computed."""
        ticket.done.cancel()
        if not ticket.is_taken:  # or it stands in the queue no more, and to look for it takes long
            self._queue.remove(ticket)

    def _give_back(self, permit: Permit, places: int) -> None:
        given = min(places, permit.places)
        permit.places -= given
        self._waiting -= given

    def _start_planned(self) -> None:
        self._is_planned = False
        if not self._is_stopped:
            self._dispatch(may_run_here=True)

    def _dispatch(self, *, may_run_here: bool = False) -> None:
        while len(self._running) < len(self._threads) and self._queue:
            now = self._clock.monotonic()
            slices = self._take(now)
            if not slices:  # all that waited came too late
                return
            for part in slices:
                if part.start == 0:
                    part.ticket.taken_s = now
                self._give_back(part.ticket.permit, len(part))
            self._running.append(slices)
            if may_run_here and len(slices) == len(self._running) == 1 and not self._queue:
                runs: list[BatchRun] = []
                self._finish(slices, self._caller.run(slices, runs), runs)
                return
            self._inbox.put(slices)

    def _is_quick(self, ticket: Ticket) -> bool:
        """Whether it is one text, and the engine is free and will have answered it at once."""
        expected_s = self._token_s * ticket.lengths[0]
        return len(ticket.lengths) == 1 and not self._running and expected_s <= self._quick_s

    def _take(self, now: float) -> list[Slice]:
        """Take rows in order until the token budget or the text limit; at least one row in time."""
        slices: list[Slice] = []
        texts, tokens = 0, 0
        while self._queue and texts < self._limits.max_batch_texts:
            ticket = self._queue.first()
            if ticket.is_late(now):
                self._queue.remove(ticket)
                what = "the request's deadline passed while it waited"
                ticket.fail(LateError(what, retry_after_s=1), now)
                continue
            start = ticket.next_row
            for length in ticket.lengths[start:]:
                has_budget = tokens + length <= self._limits.max_batch_tokens
                if texts and not (has_budget and texts < self._limits.max_batch_texts):
                    break
                texts, tokens, ticket.next_row = texts + 1, tokens + length, ticket.next_row + 1
            if ticket.next_row > start:
                slices.append(Slice(ticket=ticket, start=start, stop=ticket.next_row))
            if ticket.next_row < len(ticket.lengths):
                break
            self._queue.remove(ticket)
        return slices

    def _work(self) -> None:
        loop = self._loop
        if loop is None:
            return
        try:
            while (slices := self._inbox.get()) is not None:
                runs: list[BatchRun] = []
                results = self._caller.run(slices, runs)
                loop.call_soon_threadsafe(self._finish, slices, results, runs)
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._fail_all)

    def _finish(
        self,
        slices: list[Slice],
        results: Sequence[Logits | ThinferError],
        runs: Sequence[BatchRun],
    ) -> None:
        if self._is_stopped:  # a call that outlived `stop`: its tickets have failed already
            return
        now = self._clock.monotonic()
        for part, result in zip(slices, results, strict=True):
            part.ticket.add_part(part.start, result, now)
            if isinstance(result, ThinferError):
                logger.error("engine call failed: %s", result)
                self._queue.remove(part.ticket)
        self._running.remove(slices)
        for run in runs:
            self._note_speed(run)
            self._on_run(run)
        self._dispatch()

    def _note_speed(self, run: BatchRun) -> None:
        found = run.seconds / run.tokens
        if math.isinf(self._token_s):
            self._token_s = found
        self._token_s += _REMEMBERED * (found - self._token_s)

    def _fail_all(self) -> None:
        if not self._is_stopping:
            logger.critical("the engine's worker has died; the service is not ready any more")
        self._is_stopped = True
        what = "the engine's worker has ended"
        now = self._clock.monotonic()
        under_way = [part.ticket for slices in self._running for part in slices]
        for ticket in [*under_way, *self._queue]:
            ticket.fail(WorkerStoppedError(what), now)
        self._queue.clear()
        self._running = []
