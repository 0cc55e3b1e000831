"""The choice: a pure rule on what `dev` and the clock said (docs/design.md §4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thinfer.errors import InternalError

__all__ = ["Entry", "choose"]

# Two speeds this close are the same speed on a shared machine: then the smaller one wins.
_TIE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the rule looks at.

    Attributes:
        name: of the candidate.
        texts_per_second: measured throughput; 0 where it was not measured.
        size_bytes: what its engine reads.
        macs: multiply-accumulates of one text: how little it is compressed.
        clears_floor: `dev` clears every floor by the margin.
        is_sound: parity with its own torch form holds.
        is_faster: faster than the original here.
    """

    name: str
    texts_per_second: float
    size_bytes: int
    macs: int
    clears_floor: bool
    is_sound: bool
    is_faster: bool


def choose(entries: Sequence[Entry]) -> Entry:
    """Choose the fastest candidate that clears the floor; within 5 % the smaller one.

    Where none clears the floor, the least compressed sound one is given: best so far.

    Args:
        entries: all measured candidates.

    Returns:
        The chosen one.

    Raises:
        InternalError: no candidate is sound; the FP32 form of the original always should be.
    """
    sound = [entry for entry in entries if entry.is_sound]
    if not sound:
        what = "no candidate gives the logits of its own torch form"
        raise InternalError(what, do="run `thinfer doctor`; an engine is broken on this machine")
    good = [entry for entry in sound if entry.clears_floor and entry.is_faster]
    if not good:
        good = [entry for entry in sound if entry.clears_floor]
    if not good:
        most = max(entry.macs for entry in sound)
        least = [entry for entry in sound if entry.macs == most]
        return max(least, key=lambda entry: (entry.size_bytes, entry.name))
    fastest = max(entry.texts_per_second for entry in good)
    near = [entry for entry in good if entry.texts_per_second >= fastest * (1 - _TIE)]
    return min(near, key=lambda entry: (entry.size_bytes, -entry.texts_per_second, entry.name))
