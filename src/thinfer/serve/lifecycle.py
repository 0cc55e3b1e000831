"""Whether the service takes work, and how much is still in its hands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from thinfer.serve.errors import DrainingError

__all__ = ["Lifecycle"]


class Lifecycle:
    """Counts the requests for work between their first byte and their answer."""

    def __init__(self) -> None:
        self._in_flight = 0
        self._is_draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Requests for work that have no answer yet."""
        return self._in_flight

    @property
    def is_draining(self) -> bool:
        """Whether the service has been told to stop."""
        return self._is_draining

    def start_draining(self) -> None:
        """Take no new work from now on; readiness says so at once."""
        self._is_draining = True

    def check(self) -> None:
        """Let pass while the service takes work.

        Raises:
            DrainingError: it is stopping.
        """
        if self._is_draining:
            what = "the service is stopping"
            raise DrainingError(what, retry_after_s=1)

    @contextmanager
    def work(self) -> Iterator[None]:
        """Count one request for work while the block runs.

        Raises:
            DrainingError: the service is stopping.
        """
        self.check()
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def wait_idle(self) -> None:
        """Return as soon as no work is in flight."""
        await self._idle.wait()
