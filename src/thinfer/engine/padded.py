"""Running a packed batch on an engine that wants rectangles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture, count_cost
from thinfer.engine.base import check_batch
from thinfer.engine.grouping import balance_groups, plan_groups
from thinfer.errors import UserError
from thinfer.text.batch import Batch

__all__ = ["Feed", "GroupPool", "Padding", "open_pool", "run_padded"]

Feed: TypeAlias = dict[str, NDArray[np.int64]]

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

# What one more call costs, in tokens of computing, until `tune` has measured it.
_OVERHEAD_TOKENS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Padding:
    """How a batch becomes rectangles.

    Attributes:
        pad_id: id written into the padding.
        by_length: True splits a batch into groups of like length; False pads it as one.
        overhead_tokens: what one more call costs, in tokens of computing.
        in_steps: True rounds the padded length up, eight steps from a power of two to the next;
            for engines that compile something for every new shape.
    """

    pad_id: int
    by_length: bool
    overhead_tokens: int
    in_steps: bool = False

    @classmethod
    def from_options(
        cls,
        pad_id: int,
        options: Mapping[str, object],
        *,
        widths: str = "exact",
        overhead_tokens: int = _OVERHEAD_TOKENS,
    ) -> Padding:
        """Read the padding of an engine from its stored options.

        Args:
            pad_id: id written into the padding.
            options: `grouping` is `length` (default) or `none`; `overhead_tokens` a whole number;
                `widths` is `exact` or `steps`.
            widths: the engine's own default of the option.
            overhead_tokens: likewise.

        Raises:
            UserError: an option has another value.
        """
        grouping = options.get("grouping", "length")
        overhead = options.get("overhead_tokens", overhead_tokens)
        if grouping not in ("length", "none") or not isinstance(overhead, int) or overhead < 0:
            what = "the engine's padding options cannot be read"
            expected = "grouping 'length' or 'none', overhead_tokens a whole number from 0"
            raise UserError(what, expected=expected, got=f"{grouping!r}, {overhead!r}")
        chosen = options.get("widths", widths)
        if chosen not in ("exact", "steps"):
            what = "the engine's padding options cannot be read"
            raise UserError(what, expected="widths 'exact' or 'steps'", got=repr(chosen))
        return cls(
            pad_id=pad_id,
            by_length=grouping == "length",
            overhead_tokens=overhead,
            in_steps=chosen == "steps",
        )

    def feed(self, batch: Batch, longest: int) -> Feed:
        """Give the rectangle of a batch, as the engines' inputs.

        Args:
            batch: at least one sequence.
            longest: tokens that the model has positions for.

        Returns:
            `input_ids`, `attention_mask`, `token_type_ids`, int64 `[batch, length]`.
        """
        parts = batch.padded(self.pad_id)
        width = parts[0].shape[1]
        extra = min(_round_up(width), longest) - width if self.in_steps else 0
        if extra:
            fills = (self.pad_id, 0, 0)
            parts = tuple(  # type: ignore[assignment]  # three again
                np.pad(part, ((0, 0), (0, extra)), constant_values=fill)
                for part, fill in zip(parts, fills, strict=True)
            )
        return dict(zip(_INPUTS, parts, strict=True))


def _round_up(width: int) -> int:
    step = 1 << max(2, width.bit_length() - 4)
    return -(-width // step) * step


def run_padded(
    call: Callable[[Feed], NDArray[np.float32]],
    batch: Batch,
    architecture: Architecture,
    padding: Padding,
    pool: GroupPool | None = None,
) -> NDArray[np.float32]:
    """Run a batch as one or more rectangles and put the rows back in order.

    Args:
        call: takes `input_ids`, `attention_mask`, `token_type_ids` (int64 `[batch, length]`) and
            gives float32 `[batch, classes]`.
        batch: packed token ids.
        architecture: its limits are checked before anything is run.
        padding: how to split and pad.
        pool: runs the rectangles side by side, `call` being good for several threads; absent:
            one after another.

    Returns:
        float32 `[sequences, classes]`, rows in the order of the batch.
    """
    check_batch(batch, architecture)
    if not len(batch):
        return np.empty((0, architecture.classes), dtype=np.float32)
    longest = architecture.max_length
    if not padding.by_length:
        return call(padding.feed(batch, longest))
    lengths = batch.lengths
    groups = plan_groups(lengths, overhead_tokens=padding.overhead_tokens)
    if pool is not None:
        groups = balance_groups(groups, lengths, workers=pool.workers)
    if len(groups) == 1:
        return call(padding.feed(batch, longest))
    feeds = [padding.feed(batch.select(rows), longest) for rows in groups]
    logits = np.empty((len(batch), architecture.classes), dtype=np.float32)
    found = map(call, feeds) if pool is None else pool.map(call, feeds)
    for rows, part in zip(groups, found, strict=True):
        logits[rows] = part
    return logits


# Multiply-accumulates a token from which a product keeps several threads busy by itself.
_LARGE_MODEL = 30_000_000


def open_pool(
    architecture: Architecture, options: Mapping[str, object], *, threads: int
) -> GroupPool | None:
    """Give the threads that run groups side by side, where that is the better use of them.

    Args:
        architecture: a small model has too little work in a product to share it out.
        options: `parallel` is `groups` or `inside`; by default the size of the model decides,
            and a batch that is not split has nothing to run side by side.
        threads: threads of one call.

    Returns:
        The threads; None where the engine shall use its threads inside each product.

    Raises:
        UserError: the option has another value.
    """
    macs = count_cost(architecture, length=32).macs / 32
    by_size = "inside" if macs >= _LARGE_MODEL else "groups"
    is_split = options.get("grouping", "length") == "length"
    wish = options.get("parallel", by_size if is_split else "inside")
    if wish not in ("groups", "inside"):
        what = "the engine's threading option cannot be read"
        raise UserError(what, expected="parallel 'groups' or 'inside'", got=repr(wish))
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
