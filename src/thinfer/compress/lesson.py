"""What a student learns from, and how it is examined."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.state import State
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.predict import compute_logits
from thinfer.nn.train import Encoded
from thinfer.text.batch import Batch

__all__ = ["answer_rows", "as_checkpoint", "count_right"]


def answer_rows(
    teacher: EncoderClassifier, train: Encoded, unlabelled: Batch | None, *, pad_id: int
) -> tuple[Encoded, NDArray[np.float32]]:
    """Give all rows to learn from, and the teacher's logits of them.

    Args:
        teacher: answers every row.
        train: rows with labels.
        unlabelled: more rows; the teacher's answer stands in for their label.
        pad_id: id of the padding token.

    Returns:
        The rows, labelled ones first, and float32 `[rows, classes]`.
    """
    if unlabelled is None or not len(unlabelled):
        return train, compute_logits(teacher, train.batch, pad_id=pad_id)
    batch = Batch.concatenate([train.batch, unlabelled])
    taught = compute_logits(teacher, batch, pad_id=pad_id)
    more = taught[len(train.batch) :]
    if train.targets.ndim == 1:
        answers: NDArray[np.int64] = more.argmax(axis=1)
        return Encoded(batch=batch, targets=np.concatenate([train.targets, answers])), taught
    several = (more > 0).astype(np.float32)
    return Encoded(batch=batch, targets=np.concatenate([train.targets, several])), taught


def as_checkpoint(state: State) -> Checkpoint:
    """Give a state in the form that a training takes.

    Args:
        state: what is to be trained; it stays as it is.
    """
    return Checkpoint(
        model=state.module(),
        tokenizer=state.tokenizer,
        labels=state.labels,
        architecture=state.architecture,
        family="bert",  # names of a file that is not written here
        max_length=state.max_length,
        config={},
    )


def count_right(model: EncoderClassifier, rows: Encoded, pad_id: int) -> int:
    """Give how many rows a model answers right; of several labels a row, all must be right.

    Args:
        model: the encoder.
        rows: texts with their labels.
        pad_id: id of the padding token.
    """
    logits = compute_logits(model, rows.batch, pad_id=pad_id)
    if rows.targets.ndim == 1:
        return int(np.sum(logits.argmax(axis=1) == rows.targets))
    return int(np.sum(np.all((logits > 0) == (rows.targets > 0.5), axis=1)))
