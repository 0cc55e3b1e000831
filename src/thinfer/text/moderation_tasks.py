"""Generated tasks of other forms: texts with several labels or none, and pairs of texts.

Made of the sentences of the moderation corpus; for tests, demonstrations and benchmarks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from thinfer.core.files import write_atomic
from thinfer.errors import UserError
from thinfer.text.corpus import Corpus
from thinfer.text.label_sets import are_label_sets, format_label_set
from thinfer.text.moderation import ANOMALIES, Writer
from thinfer.text.moderation_lexicon import NORMAL
from thinfer.text.splits import normal_form

__all__ = ["PAIR_LABELS", "generate_moderation_sets", "generate_pairs", "write_task"]

PAIR_LABELS = ("better", "equal", "worse")
_KINDS_SHARES = (0.40, 0.38, 0.22)  # of texts with 0, 1 and 2 kinds
_NOISE_SHARE = 0.03

_Row = tuple[str, str | None, str]


def generate_moderation_sets(rng: np.random.Generator, *, rows: int) -> Corpus:
    """Give texts of which each shows up to two of six kinds of anomaly, or none.

    Args:
        rng: decides everything; the same state gives the same corpus.
        rows: how many.

    Returns:
        Texts of 5 to 240 characters, about 40 % of them without a label; the labels are sets as
        `format_label_set` gives them, and about 3 % of them have one label too many or too few.

    Raises:
        UserError: `rows` is negative.
    """
    writer = Writer(rng)

    def draw() -> _Row:
        count = int(rng.choice(len(_KINDS_SHARES), p=_KINDS_SHARES))
        kinds = [str(kind) for kind in rng.permutation(ANOMALIES)[:count]]
        text = " ".join(writer.write_plainly(kind) for kind in kinds or [NORMAL])
        if rng.random() < _NOISE_SHARE:
            kinds = list(set(kinds) ^ {writer.pick(ANOMALIES)})
        return text, None, format_label_set(kinds)

    return _collect(draw, rows, "moderation-sets")


def generate_pairs(rng: np.random.Generator, *, rows: int) -> Corpus:
    """Give a text before and after it was edited; was it made better or worse?

    Args:
        rng: decides everything; the same state gives the same corpus.
        rows: how many.

    Returns:
        Pairs with the labels of `PAIR_LABELS`: `worse` where only the second text is an anomaly,
        `better` where only the first is, else `equal` (about half). Neither text alone tells.

    Raises:
        UserError: `rows` is negative.
    """
    writer = Writer(rng)

    def draw() -> _Row:
        bad = rng.random(2) < 0.5  # whether each of the two is an anomaly
        texts = [writer.write_plainly(writer.pick(ANOMALIES) if each else NORMAL) for each in bad]
        change = int(bad[1]) - int(bad[0])
        return texts[0], texts[1], PAIR_LABELS[1 + change]

    return _collect(draw, rows, "moderation-pairs")


def write_task(folder: Path, corpus: Corpus, *, train: int, dev: int, test: int) -> None:
    """Write the rows of a corpus as `train.jsonl`, `dev.jsonl` and `test.jsonl`.

    Args:
        folder: made if absent.
        corpus: at least as many rows as the parts have together; taken in its order.
        train: rows for training.
        dev: rows for choosing.
        test: rows for judging.

    Raises:
        UserError: the corpus has too few rows, or no labels.
        InternalError: the folder cannot be written.
    """
    if corpus.labels is None or len(corpus) < train + dev + test:
        what = "the corpus is too small for these parts"
        got = f"{len(corpus)} rows" if corpus.labels else "rows without labels"
        raise UserError(what, expected=f"{train + dev + test} labelled rows", got=got)
    labels = corpus.labels
    listed = [json.loads(cell) if are_label_sets([cell]) else cell for cell in labels]
    folder.mkdir(parents=True, exist_ok=True)
    start = 0
    for name, size in {"train": train, "dev": dev, "test": test}.items():
        lines = []
        for row in range(start, start + size):
            body = {"text": corpus.texts[row], "label": listed[row]}
            if corpus.pairs is not None:
                body["text_pair"] = corpus.pairs[row]
            lines.append(json.dumps(body, ensure_ascii=False) + "\n")
        write_atomic(folder / f"{name}.jsonl", "".join(lines))
        start += size


def _collect(draw: Callable[[], _Row], rows: int, name: str) -> Corpus:
    """Draw until there are enough rows of which no two are alike after normalisation."""
    if rows < 0:
        what = "a corpus cannot have a negative number of rows"
        raise UserError(what, expected="0 or more", got=str(rows))
    seen, kept = set[tuple[str, str]](), list[_Row]()
    while len(kept) < rows:
        row = draw()
        key = (normal_form(row[0]), normal_form(row[1] or ""))
        if min(len(row[0]), len(row[1] or row[0])) >= 5 and key not in seen:
            seen.add(key)
            kept.append(row)
    has_pairs = bool(kept) and kept[0][1] is not None
    return Corpus(
        texts=tuple(text for text, _, _ in kept),
        pairs=tuple(pair or "" for _, pair, _ in kept) if has_pairs else None,
        labels=tuple(label for _, _, label in kept),
        name=name,
    )
