"""Split a batch by length, so that little padding is computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["balance_groups", "plan_groups"]

_LEAST_SEQUENCES = 4  # a part smaller than this no longer fills the vector units

Ids = NDArray[np.int64]


def plan_groups(lengths: Ids, *, overhead_tokens: int) -> list[Ids]:
    """Split sequences into groups that are padded each to its own longest one.

    The split is the cheapest one for the cost of a group = sequences × longest + overhead, found
    by dynamic programming over the different lengths.

    Args:
        lengths: int64 `[sequences]`, tokens of each sequence.
        overhead_tokens: what one more call costs, in tokens of computing; at least 0.

    Returns:
        Indices of the sequences, int64 `[group]` for each group, longest group first; every
        sequence is in exactly one. No sequence gives no group.
    """
    if not len(lengths):
        return []
    order = np.argsort(-lengths, kind="stable")
    padding = len(lengths) * int(lengths[order[0]]) - int(lengths.sum())
    if padding <= overhead_tokens:  # no split can win
        return [order.astype(np.int64)]
    sizes, counts = np.unique(-lengths, return_counts=True)  # negative: longest first
    cuts = _cheapest_cuts(-sizes, counts.astype(np.int64), overhead_tokens)
    ends = np.cumsum(counts)
    return [
        order[(0 if start == 0 else ends[start - 1]) : ends[stop - 1]].astype(np.int64)
        for start, stop in cuts
    ]


def balance_groups(groups: list[Ids], lengths: Ids, *, workers: int) -> list[Ids]:
    """Halve the largest groups until no worker has to wait for another for long.

    Args:
        groups: from `plan_groups`.
        lengths: int64 `[sequences]`, tokens of each sequence.
        workers: groups that run at a time, 1 or more.

    Returns:
        The same sequences in as many or more groups, the most expensive one first; no group is
        above half of a worker's share, unless it has few sequences.
    """
    costs = [len(rows) * int(lengths[rows].max()) for rows in groups]
    limit = sum(costs) / (2 * workers)
    parts: list[tuple[int, Ids]] = []
    waiting = list(zip(costs, groups, strict=True))
    while waiting:
        cost, rows = waiting.pop()
        if workers == 1 or cost <= limit or len(rows) < 2 * _LEAST_SEQUENCES:
            parts.append((cost, rows))
            continue
        middle = len(rows) // 2
        halves = (rows[:middle], rows[middle:])
        waiting += [(len(half) * int(lengths[half].max()), half) for half in halves]
    parts.sort(key=lambda part: (-part[0], int(part[1][0])))
    return [rows for _, rows in parts]


def _cheapest_cuts(sizes: Ids, counts: Ids, overhead_tokens: int) -> list[tuple[int, int]]:
    """Cut the different lengths (falling) into runs `[start, stop)` of the least total cost."""
    before = np.concatenate([[0], np.cumsum(counts)])  # sequences ahead of each length
    best = np.zeros(len(sizes) + 1, dtype=np.int64)  # cost of the first k lengths
    start_of = np.zeros(len(sizes) + 1, dtype=np.int64)
    for stop in range(1, len(sizes) + 1):
        costs = best[:stop] + sizes[:stop] * (before[stop] - before[:stop]) + overhead_tokens
        start_of[stop] = int(np.argmin(costs))
        best[stop] = costs[start_of[stop]]
    cuts = []
    stop = len(sizes)
    while stop:
        cuts.append((int(start_of[stop]), stop))
        stop = int(start_of[stop])
    return cuts[::-1]
