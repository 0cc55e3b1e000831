"""Where texts go on to: the protocol, and a bigger bundle in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from thinfer.classifier import Classifier
from thinfer.serve.batcher import Batcher
from thinfer.serve.ticket import Logits
from thinfer.text.long_text import HEAD, LongText

__all__ = ["LocalUpstream", "Upstream"]


class Upstream(Protocol):
    """A bigger model that can be asked."""

    @property
    def version(self) -> str:
        """The first 12 digits of its content digest; empty where it is not known yet."""

    def start(self) -> None:
        """Make ready; called once, on the running event loop."""

    async def ask(
        self, texts: Sequence[str], pairs: Sequence[str] | None, *, long_text: LongText = HEAD
    ) -> Logits:
        """Give the logits of texts, float32 `[texts, classes]`, classes in the policy's order.

        Args:
            texts: at least one.
            pairs: of the same length.
            long_text: what becomes of texts that are too long; `head` is its own rule.

        Raises:
            ThinferError: there is no answer that can be used.
        """

    async def stop(self) -> None:
        """Free what it holds."""


class LocalUpstream:
    """A bigger bundle in this process, behind a queue of its own.

    Args:
        classifier: open; `stop` closes it.
        batcher: in front of its engine.
        labels: the classes in the order that is wanted; the same names as the classifier's.
    """

    def __init__(self, classifier: Classifier, batcher: Batcher, *, labels: Sequence[str]) -> None:
        self._classifier, self._batcher = classifier, batcher
        self._order = [classifier.labels.index(label) for label in labels]

    @property
    def version(self) -> str:
        """The first 12 digits of the bundle's content digest."""
        return self._classifier.version

    def start(self) -> None:
        """Start the engine's worker."""
        self._batcher.start()

    async def ask(
        self, texts: Sequence[str], pairs: Sequence[str] | None, *, long_text: LongText = HEAD
    ) -> Logits:
        """Give the logits of texts, float32 `[texts, classes]`.

        Args:
            texts: at least one.
            pairs: of the same length.
            long_text: what becomes of texts that are too long.
        """
        with self._batcher.admit(len(texts)) as permit:
            encode = self._classifier.tokenizer.encode
            encoded = await asyncio.to_thread(encode, texts, pairs, long_text=long_text)
            if len(encoded.batch) > len(texts):
                self._batcher.admit_more(permit, len(encoded.batch) - len(texts))
            ticket = self._batcher.submit(encoded.batch, permit)
            try:
                logits = await ticket.done
            finally:
                self._batcher.leave(ticket)
        return self._classifier.pool(logits, encoded)[:, self._order]

    async def stop(self) -> None:
        """End the worker and close the bundle."""
        if await self._batcher.stop():  # an engine whose call never returns is left alone
            self._classifier.close()
