"""Calling the engine so that a text which it cannot bear fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from thinfer.core.clock import Clock
from thinfer.errors import EngineError, ThinferError
from thinfer.serve.ticket import Logits, Slice
from thinfer.text.batch import Batch

__all__ = ["BatchRun", "EngineCaller"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRun:
    """One engine call, as told to the metrics: size, duration and whether it failed."""

    texts: int
    tokens: int
    seconds: float
    is_failed: bool


class EngineCaller:
    """Joins what goes into one call, and takes the answer apart again.

    Args:
        run: the engine's `run`.
        clock: measures the calls.
    """

    def __init__(self, run: Callable[[Batch], Logits], clock: Clock) -> None:
        self._run, self._clock = run, clock

    def run(self, slices: Sequence[Slice], runs: list[BatchRun]) -> list[Logits | ThinferError]:
        """Run them together; where that fails, each alone, so that only the culprit fails.

        Args:
            slices: at least one.
            runs: each call made is noted here.

        Returns:
            For each slice its logits, float32 `[rows, classes]`, or why there are none.
        """
        result = self._run_once(slices, runs)
        if len(slices) == 1:
            return [result]
        if not isinstance(result, ThinferError):
            ends = np.cumsum([len(part) for part in slices])
            return list(np.split(result, ends[:-1]))
        return [self._run_once([part], runs) for part in slices]

    def _run_once(self, slices: Sequence[Slice], runs: list[BatchRun]) -> Logits | ThinferError:
        parts = [part.batch for part in slices]
        batch = parts[0] if len(parts) == 1 else Batch.concatenate(parts)
        started = self._clock.monotonic()
        result: Logits | ThinferError
        try:
            result = self._run(batch)
        except ThinferError as error:
            result = error
        except Exception as error:  # one of the two places: fails its own batch, never the loop
            what = "the engine failed on this text"
            result = EngineError(what, got=type(error).__name__)
            result.__cause__ = error
        else:
            if len(result) != len(batch) or not np.isfinite(result).all():
                what = "the engine gave no usable logits"
                result = EngineError(what, expected="one finite row a text")
        seconds = self._clock.monotonic() - started
        is_failed = isinstance(result, ThinferError)
        runs.append(
            BatchRun(texts=len(batch), tokens=len(batch.ids), seconds=seconds, is_failed=is_failed)
        )
        return result
