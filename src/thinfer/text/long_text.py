"""Texts longer than the model reads: refused, cut, or read in windows and pooled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError, UserError

__all__ = ["HEAD", "LongText", "Policy", "Pooling", "fit_parts", "pool_windows"]

Ids = NDArray[np.int64]
Logits = NDArray[np.float32]
Parts = list[Sequence[list[int]]]

Policy = Literal["error", "head", "tail", "head_tail", "windows"]
Pooling = Literal["max", "mean"]

MOST_OVERLAP = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class LongText:
    """What becomes of a text that is longer than the model reads.

    Attributes:
        policy: `error` refuses it; `head`, `tail` and `head_tail` keep its beginning, its end, or
            half of each; `windows` reads all of it, a window at a time.
        pooling: of the windows' logits, see `pool_windows`; None leaves it to the bundle.
        overlap: share of a window that its neighbour reads too, at least; 0 … 0.9.
    """

    policy: Policy = "head"
    pooling: Pooling | None = None
    overlap: float = 0.25

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("policy", self.policy, get_args(Policy)),
            ("pooling", self.pooling, (*get_args(Pooling), None)),
        ):
            if value not in allowed:
                what = f"there is no such {name} for long texts"
                raise UserError(what, expected=f"one of {list(allowed)}", got=repr(value)[:40])
        if not 0.0 <= self.overlap <= MOST_OVERLAP:
            what = "windows cannot overlap so much"
            raise UserError(what, expected=f"0 … {MOST_OVERLAP}", got=str(self.overlap))


HEAD = LongText()


def fit_parts(
    parts: Sequence[Sequence[list[int]]], kept: Ids, *, room: int, long_text: LongText
) -> tuple[Parts, Ids, Ids]:
    """Make parts fit that are too long; called only where at least one is.

    Args:
        parts: for each side (the text, its pair), ids without specials of every text.
        kept: int64 `[texts, sides]`, how many ids of each may stay.
        room: tokens of a sequence without its specials, at least 1 where there are no pairs.
        long_text: what shall be done.

    Returns:
        The parts of the sequences to run, int64 `[sequences, sides]` of their lengths, and int64
        `[texts]`: the sequences of each text, which are 1 but for windows.

    Raises:
        DataError: the policy is `error`.
        UserError: windows over pairs.
    """
    lengths = np.array([[len(ids) for ids in part] for part in parts], dtype=np.int64).T
    if long_text.policy == "error":
        is_long = np.any(kept < lengths, axis=1)
        what = f"{np.count_nonzero(is_long)} of the texts are too long"
        expected = f"at most {room} tokens without the special ones"
        longest = int(lengths.sum(axis=1).max())
        do = "shorten them, or let them be cut or read in windows"
        raise DataError(what, expected=expected, got=f"{longest} in the longest", do=do)
    if long_text.policy == "windows":
        if len(parts) > 1:
            what = "a pair of texts cannot be read in windows"
            raise UserError(what, expected="single texts, or another policy for long ones")
        each = [_slide(ids, room=room, overlap=long_text.overlap) for ids in parts[0]]
        rows = [window for windows in each for window in windows]
        counts = np.array([len(windows) for windows in each], dtype=np.int64)
        return [rows], np.array([[len(row)] for row in rows], dtype=np.int64), counts
    cut: Parts = [
        [_cut(ids, count, long_text.policy) for ids, count in zip(part, counts, strict=True)]
        for part, counts in zip(parts, kept.T.tolist(), strict=True)
    ]
    return cut, kept, np.ones(len(kept), dtype=np.int64)


def pool_windows(
    logits: Logits,
    scores: Logits,
    *,
    windows: Ids,
    pooling: Pooling,
    normal: int | None,
    is_multi_label: bool,
) -> Logits:
    """Give one row of logits a text.

    `mean` is the mean of the logits. `max` is the strongest finding: with one label a text, the
    row of the window where a finding is furthest ahead of the normal label (or, without a normal
    label, of the surest window), so that the scores still sum to 1 and a text is a finding where
    any window is; with several labels a text, each label's highest logit, and the normal label's
    lowest.

    Args:
        logits: float32 `[sequences, classes]`.
        scores: float32 `[sequences, classes]`, of the logits.
        windows: int64 `[texts]`, sequences of each text, at least 1.
        pooling: how.
        normal: index of the label that is no finding.
        is_multi_label: whether a text may have several labels.

    Returns:
        float32 `[texts, classes]`; the row of a text with one window is unchanged.
    """
    stops = np.cumsum(windows)
    pooled: Logits = logits[stops - windows]
    for text in np.flatnonzero(windows > 1):
        rows = slice(int(stops[text] - windows[text]), int(stops[text]))
        if pooling == "mean":
            pooled[text] = logits[rows].mean(axis=0, dtype=np.float64)
        elif is_multi_label:
            pooled[text] = logits[rows].max(axis=0)
            if normal is not None:
                pooled[text, normal] = logits[rows, normal].min()
        elif normal is not None:
            findings = np.delete(logits[rows], normal, axis=1).max(axis=1)
            pooled[text] = logits[rows][(findings - logits[rows, normal]).argmax()]
        else:
            pooled[text] = logits[rows][scores[rows].max(axis=1).argmax()]
    return pooled


def _cut(ids: list[int], count: int, policy: Policy) -> list[int]:
    if count == len(ids) or policy == "head":
        return ids[:count]
    tail = count if policy == "tail" else count // 2
    return ids[: count - tail] + ids[len(ids) - tail :]


def _slide(ids: list[int], *, room: int, overlap: float) -> list[list[int]]:
    """Full windows, spread evenly: a short last one would be unlike what the model has learnt."""
    rest = len(ids) - room
    if rest <= 0:
        return [ids]
    step = max(1, room - math.ceil(overlap * room))
    steps = math.ceil(rest / step)
    return [ids[rest * at // steps : rest * at // steps + room] for at in range(steps + 1)]
