"""A loaded version: an open classifier, the queue in front of its engine, and who uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from thinfer.classifier import Classifier
from thinfer.serve.batcher import Batcher

__all__ = ["Version"]


class Version:
    """What answers requests; it is closed only when the last of them is done.

    Args:
        classifier: open, so its golden set has passed.
        batcher: in front of its engine; started by whoever loads the version.
    """

    def __init__(self, classifier: Classifier, batcher: Batcher) -> None:
        self.classifier, self.batcher = classifier, batcher
        self._users = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def name(self) -> str:
        """First 12 digits of the content digest."""
        return self.classifier.version

    @property
    def users(self) -> int:
        """Requests that hold this version now."""
        return self._users

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the version open while the block runs."""
        self._users += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._idle.set()

    async def close(self, timeout_s: float) -> bool:
        """Wait for the requests that hold it, then end its workers and free its engine.

        Args:
            timeout_s: seconds that the requests have; those that take longer fail.

        Returns:
            Whether the engine could be freed; one whose call never returns is left alone.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        has_ended = await self.batcher.stop()
        if has_ended:
            self.classifier.close()
        return has_ended
