"""The readiness probe: a real inference through the queue, before all others."""

from __future__ import annotations

import asyncio

from thinfer.errors import ThinferError
from thinfer.serve.errors import NotReadyError
from thinfer.serve.ticket import Permit
from thinfer.serve.version import Version
from thinfer.serve.waiting import Priority

__all__ = ["Probe"]

PROBE_TEXT = "ready?"


class Probe:
    """Asks a version; callers at the same moment share one inference, so probing is no load.

    Args:
        timeout_s: seconds that the answer may take.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._running: asyncio.Task[None] | None = None

    async def check(self, version: Version) -> None:
        """Return when the inference has worked.

        Args:
            version: that is asked, where no inference is under way.

        Raises:
            NotReadyError: it failed or took too long.
        """
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._infer(version))
        try:
            await asyncio.shield(self._running)
        except ThinferError as error:
            what = "the readiness inference failed"
            raise NotReadyError(what, got=str(error)) from error
        except TimeoutError as error:
            what = "the readiness inference took too long"
            expected = f"at most {self._timeout_s:g} s"
            raise NotReadyError(what, expected=expected) from error

    async def _infer(self, version: Version) -> None:
        batch = version.classifier.tokenizer.encode((PROBE_TEXT,)).batch
        ticket = version.batcher.submit(batch, Permit(places=0), priority=Priority.PROBE)
        try:
            async with asyncio.timeout(self._timeout_s):
                await ticket.done
        finally:
            version.batcher.leave(ticket)
