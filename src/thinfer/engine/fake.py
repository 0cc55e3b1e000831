"""The fake engine: answers without a model, as fast, as slow or as badly as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.engine.base import EngineInfo, EngineSpec, check_batch
from thinfer.errors import EngineError
from thinfer.text.batch import Batch

__all__ = ["FakeEngine", "FakeOptions", "fake_logits"]

_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeOptions:
    """How the fake behaves; the names of the engine's options.

    Attributes:
        salt: another salt is another model, with other answers.
        latency_ms: time of one call.
        token_latency_us: time of one token, in microseconds, on top.
        slow_every: every so many calls one takes `slow_ms` more; 0 = none.
        slow_ms: how much more.
        fail_every: every so many calls one raises; 0 = none.
        fail_on_id: a batch with this token id raises; -1 = none.
        nan: True gives NaN for every logit.
        nan_on_id: a sequence with this token id gets NaN; -1 = none.
    """

    salt: int = 0
    latency_ms: float = 0.0
    token_latency_us: float = 0.0
    slow_every: int = 0
    slow_ms: float = 0.0
    fail_every: int = 0
    fail_on_id: int = -1
    nan: bool = False
    nan_on_id: int = -1

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> FakeOptions:
        """Read the options of an engine entry.

        Args:
            options: name → number.

        Raises:
            EngineError: there is no such option.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            what = "the fake engine has no such option"
            raise EngineError(what, expected=f"some of {known}", got=str(unknown))
        return cls(**options)


def fake_logits(batch: Batch, *, classes: int, salt: int = 0) -> NDArray[np.float32]:
    """Give logits that depend on the tokens, their types and their order, and on nothing else.

    Args:
        batch: the sequences.
        classes: width of the logits.
        salt: another salt gives other logits.

    Returns:
        float32 `[sequences, classes]`: one class at 4, the others within ±1.
    """
    place = np.arange(len(batch.ids)) - np.repeat(batch.offsets[:-1], batch.lengths)
    tokens = (batch.ids * 2 + batch.type_ids + 1).astype(np.uint64) * _MIX
    mixed = _scramble(tokens + _scramble(place.astype(np.uint64) + np.uint64(salt * 2 + 1)))
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    seeds = sums[batch.offsets[1:]] - sums[batch.offsets[:-1]]  # [sequences], wraps around
    columns = np.arange(1, classes + 1, dtype=np.uint64) * _MIX
    noise = _scramble(seeds[:, None] ^ columns[None, :])  # [sequences, classes]
    logits = (noise >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1.0)
    winners = (_scramble(seeds) % np.uint64(classes)).astype(np.int64)
    logits[np.arange(len(batch)), winners] = 4.0
    return logits


def _scramble(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result


class FakeEngine:
    """An engine that needs no model.

    Args:
        folder: not read.
        spec: its options are those of `FakeOptions`.
        architecture: gives the ranges of ids and lengths, and the width of the logits.
        pad_id: not used.
        threads: only told in `info`.
        sleep: takes seconds; the tests put a double here.

    Raises:
        EngineError: an option is unknown.
    """

    def __init__(
        self,
        folder: Path,
        spec: EngineSpec,
        architecture: Architecture,
        *,
        pad_id: int,
        threads: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        del folder, pad_id
        self._options = FakeOptions.read(spec.options)
        self._architecture = architecture
        self._sleep = sleep
        self._lock = threading.Lock()
        self._calls = 0
        self._is_closed = False
        self._info = EngineInfo(
            name=spec.name,
            precision=spec.precision,
            threads=threads,
            version="1",
            max_length=architecture.max_length,
            vocab=architecture.vocab,
            classes=architecture.classes,
        )

    @property
    def info(self) -> EngineInfo:
        """What this engine is."""
        return self._info

    def run(self, batch: Batch) -> NDArray[np.float32]:
        """Compute the logits.

        Args:
            batch: at least one token a sequence, at most `info.max_length`; may be empty.

        Returns:
            float32 `[sequences, classes]`, rows in the order of the batch.

        Raises:
            EngineError: it is closed, or the options say that this call fails.
        """
        if self._is_closed:
            what = "the engine is closed"
            raise EngineError(what)
        check_batch(batch, self._architecture)
        options = self._options
        with self._lock:
            self._calls += 1
            call = self._calls
        self._wait(call, tokens=len(batch.ids))
        poisoned = options.fail_on_id >= 0 and bool(np.any(batch.ids == options.fail_on_id))
        if poisoned or _is_due(call, options.fail_every):
            what = "the fake engine fails, as it was told"
            raise EngineError(what, got=f"call {call}")
        logits = fake_logits(batch, classes=self._architecture.classes, salt=options.salt)
        if options.nan_on_id >= 0:
            hits = np.flatnonzero(batch.ids == options.nan_on_id)
            logits[np.searchsorted(batch.offsets, hits, side="right") - 1] = np.nan
        return np.full_like(logits, np.nan) if options.nan else logits

    def _wait(self, call: int, *, tokens: int) -> None:
        options = self._options
        wait_ms = options.latency_ms + tokens * options.token_latency_us / 1e3
        if _is_due(call, options.slow_every):
            wait_ms += options.slow_ms
        if wait_ms > 0:
            self._sleep(wait_ms / 1e3)

    def close(self) -> None:
        """Refuse all later calls; calling it twice is harmless."""
        self._is_closed = True


def _is_due(call: int, every: int) -> bool:
    return every > 0 and call % every == 0
