"""`Workload`: the texts that are run, in batches, from a corpus or of one exact shape."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thinfer.errors import UserError
from thinfer.text.tokenizer import Tokenizer

__all__ = ["Workload", "batch_texts", "make_texts", "parse_shape"]

_SHAPE = re.compile(r"(\d+)x(\d+)")
_MOST_PIECES = 4096
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Texts in batches.

    Attributes:
        name: as the tables show it.
        batches: each is one call; no batch is empty.
    """

    name: str
    batches: tuple[tuple[str, ...], ...]

    @property
    def texts(self) -> int:
        """Texts of all batches."""
        return sum(len(batch) for batch in self.batches)


def batch_texts(name: str, texts: Sequence[str], *, batch_size: int, limit: int) -> Workload:
    """Give the first texts in arrival order, in batches.

    Args:
        name: of the workload.
        texts: of a corpus, one or more.
        batch_size: texts of a batch; the last may be smaller.
        limit: texts at most.

    Raises:
        UserError: there is no text, or a size is below 1.
    """
    if not texts or min(batch_size, limit) < 1:
        what = f"the workload '{name}' is empty"
        raise UserError(what, expected="a text, and sizes of 1 or more")
    first = tuple(texts[:limit])
    starts = range(0, len(first), batch_size)
    batches = tuple(first[start : start + batch_size] for start in starts)
    return Workload(name=name, batches=batches)


def parse_shape(shape: str) -> tuple[int, int]:
    """Read `32x8` as 32 sequences of 8 tokens.

    Args:
        shape: sequences, `x`, tokens with specials; both 1 or more.

    Raises:
        UserError: it has another form.
    """
    match = _SHAPE.fullmatch(shape.strip())
    if match is None or "0" in (match[1].lstrip("0") or "0", match[2].lstrip("0") or "0"):
        what = f"the shape '{shape}' makes no sense"
        raise UserError(what, expected="SEQUENCESxTOKENS, for example 32x8")
    return int(match[1]), int(match[2])


def make_texts(
    shape: str, *, tokenizer: Tokenizer, rng: np.random.Generator, batches: int = 1
) -> Workload:
    """Make texts that this tokenizer turns into sequences of one exact length.

    Args:
        shape: as `parse_shape` reads it.
        tokenizer: of the model that will run them.
        rng: where chance comes from.
        batches: how many different batches of that shape.

    Returns:
        A workload named after the shape.

    Raises:
        UserError: the shape makes no sense, or no text of this vocabulary has that length.
    """
    sequences, length = parse_shape(shape)
    specials = int(tokenizer.encode([""]).batch.lengths[0])
    if not specials <= length <= tokenizer.max_length:
        what = f"no text has {length} tokens for this model"
        raise UserError(what, expected=f"{specials} … {tokenizer.max_length} tokens", got=shape)
    pieces = _collect_pieces(tokenizer, specials, rng)
    made = tuple(
        tuple(_make_text(pieces, length, tokenizer, rng) for _ in range(sequences))
        for _ in range(batches)
    )
    return Workload(name=shape, batches=made)


def _collect_pieces(tokenizer: Tokenizer, specials: int, rng: np.random.Generator) -> list[str]:
    """Give words that are one known token each."""
    own = {tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id}
    drawn = rng.permutation(tokenizer.vocab_size)[:_MOST_PIECES].tolist()
    words = [tokenizer.token(token_id) for token_id in drawn if token_id not in own]
    encoding = tokenizer.encode(words)
    lengths, unknown = encoding.batch.lengths, encoding.unknown
    good = (lengths == specials + 1) & (unknown == 0)
    return [word for word, is_good in zip(words, good, strict=True) if is_good]


def _make_text(
    pieces: list[str], length: int, tokenizer: Tokenizer, rng: np.random.Generator
) -> str:
    roomy = tokenizer.with_max_length(max(tokenizer.max_length, 2 * length))
    words = 0
    # One word is one token for WordPiece; where a blank before a word changes that, the number
    # of words is mended by what is missing.
    for _ in range(_ATTEMPTS):
        text = " ".join(pieces[place] for place in rng.integers(0, max(1, len(pieces)), words))
        missing = length - int(roomy.encode([text]).batch.lengths[0])
        if missing == 0:
            return text
        words = max(0, words + missing)
        if not pieces:
            break
    what = f"no text of {length} tokens could be made from this vocabulary"
    raise UserError(what, do="measure on a corpus: --lengths corpus:FILE")
