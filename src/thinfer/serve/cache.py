"""Equal texts are computed once: together while in flight, and from memory afterwards.

A key is a digest over one open classifier's own number, the token ids and the type ids, so no
text is kept and no version can answer for another. All of it runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np

from thinfer.errors import ThinferError
from thinfer.serve.rowstore import RowStore, make_keys
from thinfer.serve.ticket import Logits, Ticket
from thinfer.text.batch import Batch

__all__ = ["SharedTicket", "TextCache"]


@dataclass(slots=True, eq=False, kw_only=True)
class _Flight:
    """A ticket on its way, whose rows several requests may wait for."""

    ticket: Ticket
    keys: tuple[bytes, ...]  # of its rows
    rank: int
    leave: Callable[[Ticket], None]
    holders: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class SharedTicket:
    """One request, put together from rows that are known, awaited from others, and its own.

    Attributes:
        batch: its texts.
        done: where the logits float32 `[texts, classes]` or the error arrive.
        lengths: tokens of each text.
        ask: queues texts of its own for the engine.
        leave: drops what `ask` gave.
        rank: of its priority.
        deadline_s: the clock's reading after which nobody wants the answer; None for never.
    """

    batch: Batch
    done: asyncio.Future[Logits]
    lengths: list[int]
    ask: Callable[[Batch], Ticket]
    leave: Callable[[Ticket], None]
    rank: int
    deadline_s: float | None
    _rows: list[bytes] = field(init=False)
    _pending: dict[_Flight, list[tuple[int, int]]] = field(init=False, default_factory=dict)
    _own: list[Ticket] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._rows = [b""] * len(self.lengths)

    @property
    def is_taken(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.done.done()

    @property
    def is_computed(self) -> bool:
        """Whether an engine was asked for some of its texts, and by itself."""
        return bool(self._own)

    @property
    def queue_s(self) -> float:
        """Seconds that its own texts waited for the engine; 0 where it asked for none."""
        return max((ticket.queue_s for ticket in self._own), default=0.0)

    @property
    def infer_s(self) -> float:
        """Seconds that its own texts spent in the engine; 0 where it asked for none."""
        return max((ticket.infer_s for ticket in self._own), default=0.0)


class TextCache:
    """Stands between the service and the queues of all versions.

    Args:
        store: of rows that were computed.
        count: told an outcome (`hit`, `coalesced`, `miss`) and for how many texts.
    """

    def __init__(self, store: RowStore, *, count: Callable[[str, int], None]) -> None:
        self.store = store
        self._count = count
        self._flying: dict[bytes, tuple[_Flight, int]] = {}  # key → flight and its row
        self._numbers: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._last_number = 0

    def submit(
        self,
        source: object,
        batch: Batch,
        *,
        ask: Callable[[Batch], Ticket],
        leave: Callable[[Ticket], None],
        rank: int = 0,
        deadline_s: float | None = None,
    ) -> SharedTicket:
        """Take a request; only texts that nobody knows or computes go to the engine.

        Args:
            source: what gives the answers; an open classifier. Rows of one source never answer
                for another, were its content the same.
            batch: at least one text.
            ask: queues texts for the engine; may raise.
            leave: drops what `ask` gave.
            rank: of the request's priority, lower is more urgent; it waits for no ticket of a
                less urgent one.
            deadline_s: the reading of the clock after which its answer is worth nothing.

        Returns:
            The ticket; await `done`, and call `leave` in the end.
        """
        shared = SharedTicket(
            batch=batch,
            done=asyncio.get_running_loop().create_future(),
            lengths=batch.lengths.tolist(),
            ask=ask,
            leave=leave,
            rank=rank,
            deadline_s=deadline_s,
        )
        keys = make_keys(self._number_of(source), batch)
        fresh: dict[bytes, list[int]] = {}
        joined: dict[_Flight, list[tuple[int, int]]] = {}
        hits = 0
        for row, key in enumerate(keys):
            known, flying = self.store.get(key), self._flying.get(key)
            if known is not None:
                shared._rows[row] = known
                hits += 1
            elif key in fresh:
                fresh[key].append(row)
            elif flying is not None and flying[0].rank <= rank:
                joined.setdefault(flying[0], []).append((row, flying[1]))
            else:
                fresh[key] = [row]
        if fresh:  # first, for it may raise and must then leave nothing behind
            self._fly(shared, fresh, is_open=True)
        for flight, places in joined.items():
            self._hold(shared, flight, places)
        self._tell(hits=hits, misses=len(fresh), texts=len(keys))
        self._finish(shared)
        return shared

    def leave(self, shared: SharedTicket) -> None:
        """Drop a request; what others wait for as well goes on without it."""
        if not shared.done.cancel() and not shared.done.cancelled():
            shared.done.exception()  # looked at, or asyncio would complain of it in the log
        for flight in shared._pending:
            flight.holders -= 1
            if not flight.holders and not flight.ticket.done.done():
                self._forget(flight)
                flight.leave(flight.ticket)
        shared._pending.clear()

    def _tell(self, *, hits: int, misses: int, texts: int) -> None:
        found = {"hit": hits, "coalesced": texts - hits - misses, "miss": misses}
        for outcome, number in found.items():
            if number:
                self._count(outcome, number)

    def _number_of(self, source: object) -> int:
        number = self._numbers.get(source)
        if number is None:
            number = self._last_number = self._last_number + 1
            self._numbers[source] = number
        return number

    def _fly(self, shared: SharedTicket, wanted: dict[bytes, list[int]], *, is_open: bool) -> None:
        """Ask the engine for texts; an open flight may be joined by others."""
        firsts = [rows[0] for rows in wanted.values()]
        batch = shared.batch
        ticket = shared.ask(batch if len(firsts) == len(batch) else batch.select(firsts))
        flight = _Flight(ticket=ticket, keys=tuple(wanted), rank=shared.rank, leave=shared.leave)
        shared._own.append(ticket)
        if is_open:
            self._flying.update({key: (flight, place) for place, key in enumerate(flight.keys)})
        ticket.done.add_done_callback(partial(self._land, flight))
        places = [(row, place) for place, rows in enumerate(wanted.values()) for row in rows]
        self._hold(shared, flight, places)

    def _hold(
        self, shared: SharedTicket, flight: _Flight, places: Sequence[tuple[int, int]]
    ) -> None:
        flight.holders += 1
        shared._pending[flight] = list(places)
        flight.ticket.done.add_done_callback(partial(self._arrive, shared, flight))

    def _land(self, flight: _Flight, done: asyncio.Future[Logits]) -> None:
        """Keep what a flight brought; a failure is never kept."""
        self._forget(flight)
        if not done.cancelled() and done.exception() is None:
            for key, row in zip(flight.keys, done.result(), strict=True):
                self.store.put(key, row.tobytes())

    def _arrive(self, shared: SharedTicket, flight: _Flight, done: asyncio.Future[Logits]) -> None:
        """Take a flight's rows; where another's flight failed, ask for them oneself."""
        places = shared._pending.pop(flight, None)
        if places is None or shared.done.done():  # it has left, or has failed already
            return
        error = None if done.cancelled() else done.exception()
        if error is not None and flight.ticket in shared._own:
            shared.done.set_exception(error)
        elif error is not None or done.cancelled():
            # The culprit may be the other request's next text, its deadline, its cancellation.
            self._ask_oneself(shared, flight, places)
        else:
            logits = done.result()
            for row, place in places:
                shared._rows[row] = logits[place].tobytes()
            self._finish(shared)

    def _ask_oneself(
        self, shared: SharedTicket, flight: _Flight, places: Iterable[tuple[int, int]]
    ) -> None:
        wanted: dict[bytes, list[int]] = {}
        for row, place in places:
            wanted.setdefault(flight.keys[place], []).append(row)
        try:
            # Not open: the next follower would wait for this one's failure, and so on in a row.
            self._fly(shared, wanted, is_open=False)
        except ThinferError as error:
            shared.done.set_exception(error)

    def _finish(self, shared: SharedTicket) -> None:
        if not shared._pending and not shared.done.done():
            flat = np.frombuffer(bytearray().join(shared._rows), dtype=np.float32)
            shared.done.set_result(flat.reshape(len(shared._rows), -1))

    def _forget(self, flight: _Flight) -> None:
        for key in flight.keys:
            if self._flying.get(key, (None, 0))[0] is flight:
                del self._flying[key]
