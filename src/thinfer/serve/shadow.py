"""A second version sees a request after it is answered, and the labels are compared.

It never delays or changes an answer: it runs in a task of its own, in the lowest class of the
second version's queue, and only while nobody waits for the version that answers.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence

import numpy as np

from thinfer.errors import OverloadError, ThinferError
from thinfer.serve.errors import TooManyTextsError
from thinfer.serve.fleet import Fleet
from thinfer.serve.floors import Sighting, text_key
from thinfer.serve.observe import Metrics
from thinfer.serve.ticket import Logits
from thinfer.serve.version import Version
from thinfer.serve.waiting import Priority
from thinfer.text.encoding import Encoding
from thinfer.text.long_text import LongText

__all__ = ["Shadow"]

_MOST_TASKS = 32


class Shadow:
    """Compares the shadow with the current version, and each arm with the current version.

    Args:
        fleet: is told how the labels compare.
        metrics: where it counts.
        compare_share: share of an arm's requests that the current version sees too.
        rng: draws these.
    """

    def __init__(
        self, fleet: Fleet, metrics: Metrics, *, compare_share: float, rng: np.random.Generator
    ) -> None:
        self._fleet, self._metrics = fleet, metrics
        self._compare_share, self._rng = compare_share, rng
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(
        self,
        answered: Version,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        *,
        logits: Logits,
        long_text: LongText,
    ) -> None:
        """Let another version see texts that are answered, where there is one to compare.

        Args:
            answered: the version that answered.
            texts: of the request.
            pairs: their pairs.
            logits: the answer, float32 `[texts, classes]`.
            long_text: what was done with texts that are too long.
        """
        router = self._fleet.router
        if answered is router.current:
            other = tested = router.shadow
        elif answered.name in router.split and self._rng.random() < self._compare_share:
            other, tested = router.current, answered
        else:
            return
        if other is None or tested is None:
            return
        if router.current.batcher.waiting or len(self._tasks) >= _MOST_TASKS:
            self._metrics.shadow.labels(tested.name, "dropped").inc(len(texts))
            return
        best = answered.classifier.name_answers(logits)
        encode = functools.partial(
            other.classifier.tokenizer.encode, tuple(texts), pairs, long_text=long_text
        )
        keys = [
            text_key(text, None if pairs is None else pairs[place])
            for place, text in enumerate(texts)
        ]
        work = self._compare(other, tested, encode, best, keys)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _compare(
        self,
        other: Version,
        tested: Version,
        encode: Callable[[], Encoding],
        best: list[tuple[str, ...]],
        keys: list[bytes],
    ) -> None:
        count = self._metrics.shadow.labels
        with other.hold():
            try:
                encoded = await asyncio.to_thread(encode)
                with other.batcher.admit(len(encoded.batch)) as permit:
                    ticket = other.batcher.submit(encoded.batch, permit, priority=Priority.LOW)
                    try:
                        logits = other.classifier.pool(await ticket.done, encoded)
                    finally:
                        other.batcher.leave(ticket)
            except (OverloadError, TooManyTextsError):
                count(tested.name, "dropped").inc(len(best))
                return
            except ThinferError:
                count(tested.name, "failed").inc(len(best))
                return
        labels = other.classifier.name_answers(logits)
        differed = sum(a != b for a, b in zip(best, labels, strict=True))
        count(tested.name, "agreed").inc(len(best) - differed)
        count(tested.name, "differed").inc(differed)
        sides = (best, labels) if other is tested else (labels, best)  # current first
        seen = [Sighting(*item) for item in zip(keys, *sides, strict=True)]
        self._fleet.note_comparison(tested.name, seen)
