"""Distillation in `fit`: another model's answers, on labelled and unlabelled text, as targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thinfer.core.digest import sha256_bytes
from thinfer.core.progress import Progress
from thinfer.errors import DataError
from thinfer.nn.checkpoint import Checkpoint, load_checkpoint
from thinfer.nn.loss import LossFn, make_teacher_loss
from thinfer.nn.predict import compute_logits
from thinfer.nn.train import Encoded
from thinfer.pipeline.data import LabelledSet
from thinfer.quality.answers import encode_answers
from thinfer.text.batch import Batch
from thinfer.text.corpus import Corpus

__all__ = ["Lesson", "make_lesson"]

_TEMPERATURE = 2.0
_ALPHA = 0.9  # share of the teacher's logits; the rest is the labels'


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """What a student learns from.

    Attributes:
        rows: labelled rows, then unlabelled ones with the teacher's answers for labels.
        loss_fn: of the teacher's logits and the labels.
        digest: of the teacher's logits: another teacher is another training.
    """

    rows: Encoded
    loss_fn: LossFn
    digest: str


def make_lesson(
    teacher: str,
    student: Checkpoint,
    train: LabelledSet,
    unlabelled: Corpus | None,
    *,
    progress: Progress,
) -> Lesson:
    """Let a teacher of any size and vocabulary answer the texts that a student learns from.

    Args:
        teacher: a checkpoint directory or a hub name.
        student: reads the texts with its own tokenizer.
        train: labelled text.
        unlabelled: more text.
        progress: told of the teacher's part.

    Returns:
        The lesson; `alpha · T² · KL + (1 − alpha) · cross entropy`, T = 2, alpha = 0.9
        (Hinton et al. 2015).

    Raises:
        DataError: the teacher does not know the student's labels, or only one of the two gives a
            text several.
    """
    master = load_checkpoint(teacher)
    if set(master.labels) != set(student.labels):
        what = "the teacher has other labels than the training text"
        raise DataError(what, expected=str(sorted(student.labels)), got=str(sorted(master.labels)))
    several = student.is_multi_label
    if master.is_multi_label != several:
        what = "only one of teacher and student gives a text several labels"
        raise DataError(what, expected=student.problem_type, got=master.problem_type)
    columns = [master.labels.index(label) for label in student.labels]
    parts = [train.corpus] if unlabelled is None else [train.corpus, unlabelled]
    taught, batches = [], []
    with progress.task("the teacher answers", len(parts)) as advance:
        for part in parts:
            asked = master.tokenizer.encode(part.texts, part.pairs).batch
            logits = compute_logits(master.model, asked, pad_id=master.tokenizer.pad_id)
            taught.append(logits[:, columns])
            batches.append(student.tokenizer.encode(part.texts, part.pairs).batch)
            advance(1)
    logits = np.concatenate(taught)
    answers = encode_answers(logits[len(train) :], is_multi_label=several)
    targets = np.concatenate([train.truth, answers]).astype(np.int64)
    return Lesson(
        rows=Encoded(batch=Batch.concatenate(batches), targets=targets),
        loss_fn=make_teacher_loss(
            targets, logits, temperature=_TEMPERATURE, alpha=_ALPHA, is_multi_label=several
        ),
        digest=sha256_bytes(logits.tobytes())[:12],
    )
