"""The golden set: token sequences and the reference's logits, for the self-test at opening."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle.layout import LAYOUT
from thinfer.errors import DataError, at
from thinfer.quality.answers import encode_answers
from thinfer.text.batch import Batch

__all__ = ["GoldenSet", "choose_golden", "draw_sequences", "measure_margins"]

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoldenSet:
    """Sequences and the logits that an engine must give for them.

    Attributes:
        batch: the sequences, at least one.
        logits: float32 `[sequences, classes]` of the reference; finite.
    """

    batch: Batch
    logits: Logits

    def __post_init__(self) -> None:
        rows = len(self.batch)
        good = self.logits.ndim == 2 and len(self.logits) == rows > 0
        if not good or not np.isfinite(self.logits).all():
            what = "a golden set is impossible"
            expected = "finite logits [sequences, classes] of at least one sequence"
            raise DataError(what, expected=expected, got=f"{rows} × {self.logits.shape}")

    def encode(self) -> bytes:
        """Give the bytes of `golden.jsonl`: `ids`, `type_ids` and `logits` a line."""
        bounds = self.batch.offsets
        lines = []
        for row in range(len(self.batch)):
            part = slice(int(bounds[row]), int(bounds[row + 1]))
            body = {
                "ids": self.batch.ids[part].tolist(),
                "type_ids": self.batch.type_ids[part].tolist(),
                "logits": self.logits[row].tolist(),
            }
            lines.append(f"{json.dumps(body)}\n")
        return "".join(lines).encode()

    @classmethod
    def decode(cls, raw: bytes) -> GoldenSet:
        """Read the bytes of `golden.jsonl`.

        Args:
            raw: the file's bytes.

        Raises:
            DataError: a line is not what `encode` writes.
        """
        ids: list[list[int]] = []
        types: list[list[int]] = []
        logits: list[list[float]] = []
        with at(file=LAYOUT.golden):
            for number, line in enumerate(raw.splitlines(), start=1):
                try:
                    body = json.loads(line)
                    ids.append([int(value) for value in body["ids"]])
                    types.append([int(value) for value in body["type_ids"]])
                    logits.append([float(value) for value in body["logits"]])
                except (ValueError, TypeError, KeyError) as error:
                    what = f"line {number} of the golden set cannot be read"
                    raise DataError(what, got=repr(error)) from error
            if len({len(row) for row in logits}) > 1:
                what = "the rows of the golden set have different numbers of logits"
                raise DataError(what)
            try:
                batch = Batch.from_sequences(ids, types)
            except OverflowError as error:
                what = "a token id of the golden set is too large"
                raise DataError(what, got=str(error)) from error
            return cls(batch=batch, logits=np.asarray(logits, dtype=np.float32))


def choose_golden(
    batch: Batch,
    logits: Logits,
    *,
    bound: float,
    count: int = 16,
    is_multi_label: bool = False,
) -> GoldenSet:
    """Choose rows whose answer survives every difference that the bound allows.

    Args:
        batch: candidate sequences.
        logits: float32 `[sequences, classes]` of the reference.
        bound: the accepted difference of a logit; a row is kept when its best logit leads the
            second by more than this. Rows with twice the margin come first.
        count: rows wanted at most; they are taken answer by answer in turn.
        is_multi_label: an answer is the set of labels with a logit ≥ 0, and a row is kept when
            every logit is farther from 0 than the bound.

    Returns:
        Between 1 and `count` rows, in the order of the batch.

    Raises:
        DataError: no candidate has a clear margin.
    """
    margins = measure_margins(logits, is_multi_label=is_multi_label)
    clear = np.flatnonzero(margins > bound)  # NaN is never clear
    if not len(clear):
        best = f"{np.max(margins[np.isfinite(margins)], initial=0.0):.3g}"
        what = "no candidate of the golden set has a clear label"
        raise DataError(what, expected=f"a margin over {bound:.3g}", got=f"at best {best}")
    safe = margins[clear] > 2 * bound
    labels = encode_answers(logits[clear], is_multi_label=is_multi_label)
    turn = np.zeros(len(clear), dtype=np.int64)  # how many rows of the label came before
    for label in np.unique(labels):
        of_label = np.flatnonzero(labels == label)
        turn[of_label[np.argsort(~safe[of_label], kind="stable")]] = np.arange(len(of_label))
    order = np.lexsort((clear, turn, ~safe))[:count]
    rows = np.sort(clear[order])
    return GoldenSet(batch=batch.select(rows), logits=logits[rows])


def measure_margins(logits: Logits, *, is_multi_label: bool = False) -> NDArray[np.float64]:
    """Give how clear each row's answer is.

    Args:
        logits: float32 `[sequences, classes]`.
        is_multi_label: an answer is the set of labels with a logit ≥ 0.

    Returns:
        float64 `[sequences]`: the lead of the best logit over the second, infinite for one class;
        with several labels, the distance from 0 of the logit nearest to it.
    """
    if is_multi_label:
        nearest: NDArray[np.float64] = np.abs(logits.astype(np.float64)).min(axis=1)
        return nearest
    if logits.shape[1] < 2:
        finite = np.isfinite(logits).all(axis=1)
        return np.where(finite, np.inf, np.nan)
    ranked = np.sort(logits.astype(np.float64), axis=1)
    margins: NDArray[np.float64] = ranked[:, -1] - ranked[:, -2]
    return margins


def draw_sequences(
    rng: np.random.Generator,
    *,
    vocab: int,
    max_length: int,
    first: int,
    last: int,
    avoid: Sequence[int] = (),
    count: int = 256,
) -> Batch:
    """Draw synthetic sequences: random tokens between the two special ones.

    Args:
        rng: source of the draw.
        vocab: rows of the word embedding.
        max_length: longest sequence, in tokens; the longest and the shortest are always drawn.
        first: token id that opens a sequence.
        last: token id that closes it.
        avoid: other special ids, which are not drawn.
        count: number of sequences.

    Returns:
        The sequences; most are short, as real texts are.
    """
    banned = {first, last, *avoid}
    words = np.array([token for token in range(vocab) if token not in banned], dtype=np.int64)
    longest = max(0, max_length - 2)
    inner = np.minimum(longest, rng.geometric(1 / 24, size=count) - 1)
    inner[: min(2, count)] = (longest, 0)[: min(2, count)]
    if not len(words):
        inner[:] = 0
    return Batch.from_sequences(
        [first, *(rng.choice(words, size=size).tolist() if size else ()), last] for size in inner
    )
