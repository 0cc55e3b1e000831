"""Threads that run the groups of a batch side by side, where that beats threads in a product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture, count_cost
from thinfer.engine.base import EngineSpec, Feed, Precision
from thinfer.errors import UserError

__all__ = ["GroupPool", "choose_parallel", "open_pool"]

# Multiply-accumulates a token from which a product keeps several threads busy by itself: in FP32
# they take some three times as long.
_LARGE_MODEL = 30_000_000
_LARGE_FP32_MODEL = 10_000_000


def choose_parallel(
    architecture: Architecture, precision: Precision, options: Mapping[str, object]
) -> str:
    """Give how a call uses its threads: `groups` side by side, or `inside` each product.

    Args:
        architecture: a small model has too little work in a product to share it out.
        precision: of its products.
        options: `parallel`, where it says; by default the size of the model decides, and a batch
            that is not split has nothing to run side by side.

    Raises:
        UserError: the option has another value.
    """
    macs = count_cost(architecture, length=32).macs / 32
    large = _LARGE_FP32_MODEL if precision == "fp32" else _LARGE_MODEL
    by_size = "inside" if macs >= large else "groups"
    is_split = options.get("grouping", "length") == "length"
    wish = options.get("parallel", by_size if is_split else "inside")
    if wish not in ("groups", "inside"):
        what = "the engine's threading option cannot be read"
        raise UserError(what, expected="parallel 'groups' or 'inside'", got=repr(wish))
    return str(wish)


def open_pool(architecture: Architecture, spec: EngineSpec, *, threads: int) -> GroupPool | None:
    """Give the threads that run groups side by side, where that is the better use of them.

    Args:
        architecture: what is run.
        spec: its precision and options decide, as for `choose_parallel`.
        threads: threads of one call.

    Returns:
        The threads; None where the engine shall use its threads inside each product.
    """
    wish = choose_parallel(architecture, spec.precision, spec.options)
    return GroupPool(threads) if wish == "groups" and threads > 1 else None


class GroupPool:
    """Threads that run the groups of a batch side by side.

    One thread for each group scales better than all threads inside each small product: there is
    nothing to wait for between two operators (docs/why/12-groups-side-by-side.md).

    Args:
        workers: groups at a time; the caller's own thread is one of them.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._threads = ThreadPoolExecutor(max(1, workers - 1), thread_name_prefix="thinfer")

    def map(
        self, call: Callable[[Feed], NDArray[np.float32]], feeds: Sequence[Feed]
    ) -> list[NDArray[np.float32]]:
        """Run all feeds, on the caller's thread too, and give the results in order.

        Args:
            call: what runs one feed.
            feeds: the most expensive one first.
        """
        results: list[NDArray[np.float32] | None] = [None] * len(feeds)
        places = iter(range(len(feeds)))  # next() on a range iterator is atomic

        def work() -> None:
            for place in places:
                results[place] = call(feeds[place])

        helpers = [self._threads.submit(work) for _ in range(min(self.workers, len(feeds)) - 1)]
        try:
            work()
        finally:
            for helper in helpers:
                helper.result()
        return [result for result in results if result is not None]

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False)
