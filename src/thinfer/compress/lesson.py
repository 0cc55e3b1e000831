"""What a student learns from, and how it is examined."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.state import State
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.predict import compute_logits
from thinfer.nn.train import Encoded
from thinfer.quality.answers import encode_answers
from thinfer.text.batch import Batch

__all__ = ["answer_rows", "as_checkpoint", "count_right", "find_right"]


def answer_rows(
    teacher: EncoderClassifier,
    train: Encoded,
    unlabelled: Batch | None,
    *,
    pad_id: int,
    is_multi_label: bool = False,
) -> tuple[Encoded, NDArray[np.float32]]:
    """Give all rows to learn from, and the teacher's logits of them.

    Args:
        teacher: answers every row.
        train: rows with labels.
        unlabelled: more rows; the teacher's answer stands in for their label.
        pad_id: id of the padding token.
        is_multi_label: answers are sets of labels.

    Returns:
        The rows, labelled ones first, and float32 `[rows, classes]`.
    """
    if unlabelled is None or not len(unlabelled):
        return train, compute_logits(teacher, train.batch, pad_id=pad_id)
    batch = Batch.concatenate([train.batch, unlabelled])
    taught = compute_logits(teacher, batch, pad_id=pad_id)
    more = taught[len(train.batch) :]
    answers = encode_answers(more, is_multi_label=is_multi_label)
    return Encoded(batch=batch, targets=np.concatenate([train.targets, answers])), taught


def as_checkpoint(state: State, model: EncoderClassifier | None = None) -> Checkpoint:
    """Give a state in the form that a training takes.

    Args:
        state: what is to be trained; it stays as it is.
        model: trained in place of the state's own module.
    """
    kind = "multi" if state.is_multi_label else "single"
    return Checkpoint(
        model=state.module() if model is None else model,
        tokenizer=state.tokenizer,
        labels=state.labels,
        architecture=state.architecture,
        family="bert",  # names of a file that is not written here
        max_length=state.max_length,
        config={"problem_type": f"{kind}_label_classification"},
    )


def count_right(state: State, rows: Encoded, *, model: EncoderClassifier | None = None) -> int:
    """Give how many rows a state answers right; of several labels a row, all must be right.

    Args:
        state: the classifier.
        rows: texts with their labels.
        model: asked in place of the state's own module.
    """
    return int(np.sum(find_right(state, rows, model=model)))


def find_right(
    state: State, rows: Encoded, *, model: EncoderClassifier | None = None
) -> NDArray[np.bool_]:
    """Give which rows a state answers right; of several labels a row, all must be right.

    Args:
        state: the classifier.
        rows: texts with their labels.
        model: asked in place of the state's own module.

    Returns:
        bool `[rows]`.
    """
    asked = state.module() if model is None else model
    logits = compute_logits(asked, rows.batch, pad_id=state.pad_id)
    answers = encode_answers(logits, is_multi_label=state.is_multi_label)
    right: NDArray[np.bool_] = answers == rows.targets
    return right
