"""Running a packed batch on an engine that wants rectangles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.engine.base import EngineInfo, EngineSpec, Feed, check_batch
from thinfer.engine.grouping import balance_groups, plan_groups
from thinfer.engine.pool import GroupPool
from thinfer.errors import UserError
from thinfer.text.batch import Batch

__all__ = ["INPUTS", "PaddedEngine", "Padding", "run_padded"]

INPUTS = ("input_ids", "attention_mask", "token_type_ids")

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
        return dict(zip(INPUTS, parts, strict=True))


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


class PaddedEngine(ABC):
    """What every engine that wants rectangles has in common: all but loading and one call.

    Args:
        spec: the precision is taken from it.
        name: in the registry.
        version: of the library underneath.
        architecture: the widths.
        padding: how to split and pad.
        threads: threads of one call.
        pool: runs the groups of a batch side by side, if the engine's call allows it.
    """

    def __init__(
        self,
        spec: EngineSpec,
        *,
        name: str,
        version: str,
        architecture: Architecture,
        padding: Padding,
        threads: int,
        pool: GroupPool | None = None,
    ) -> None:
        self._architecture = architecture
        self._padding = padding
        self._pool = pool
        self._info = EngineInfo(
            name=name,
            precision=spec.precision,
            threads=threads,
            version=version,
            max_length=architecture.max_length,
            vocab=architecture.vocab,
            classes=architecture.classes,
        )

    @property
    def info(self) -> EngineInfo:
        """What this engine is."""
        return self._info

    def run(self, batch: Batch) -> NDArray[np.float32]:
        """Compute the logits; see `Engine.run`.

        Args:
            batch: packed token ids.

        Returns:
            float32 `[sequences, classes]`.
        """
        return run_padded(self._call, batch, self._architecture, self._padding, self._pool)

    def close(self) -> None:
        """Free the model; calling it twice is harmless."""
        if self._pool is not None:
            self._pool.close()
        self._drop()

    @abstractmethod
    def _call(self, feed: Feed) -> NDArray[np.float32]:
        """Run one rectangle; may be called from several threads, and while `close` runs."""

    @abstractmethod
    def _drop(self) -> None:
        """Let the model go."""
