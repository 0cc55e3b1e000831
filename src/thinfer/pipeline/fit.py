"""`fit`: fine-tune a checkpoint, or train a preset from nothing on the text at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from thinfer.core.clock import Clock
from thinfer.core.codec import to_json
from thinfer.core.files import lock_folder
from thinfer.core.progress import Progress
from thinfer.errors import UserError
from thinfer.nn.checkpoint import Checkpoint, load_checkpoint
from thinfer.nn.presets import PRESETS, build_preset
from thinfer.nn.save import WRITTEN, save_checkpoint
from thinfer.nn.train import Encoded, TrainSettings, train_classifier
from thinfer.pipeline.data import LabelledSet, label_corpus
from thinfer.pipeline.label_reading import FoundLabels, read_training_text
from thinfer.pipeline.teach import make_lesson
from thinfer.quality.labels import LabelSet
from thinfer.text.corpus import Corpus, read_corpus
from thinfer.text.learn import learn_wordpiece
from thinfer.text.splits import find_leaks, without

__all__ = ["FitRequest", "fit"]

_PRESET_LENGTH = 128
# From nothing, for 6 × 384; a pretrained checkpoint is fine-tuned ten times slower.
_PRESET_RATE, _PRESET_HIDDEN, _PRESET_LAYERS = 5e-4, 384, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """One run of `fit`.

    Attributes:
        model: a preset's name, a checkpoint directory or a hub name.
        train: rows to learn from.
        dev: rows that choose the epoch.
        out: the checkpoint's folder; resume state lives in `out` + `.work`.
        settings: how to train; None of its fields is set by the data.
        learning_rate: peak; None takes 5e-5 for a checkpoint, and for a preset 5e-4, less where it
            is wider than 384 or deeper than 6 layers (1.25e-4 for the base size).
        max_length: longest text in tokens; None keeps the checkpoint's (a preset's: 128).
        vocabulary: most tokens that a preset learns from the training text.
        teacher: a model with the same labels whose answers are learned as well.
        unlabelled: more text for the teacher to answer; needs a teacher.
        text_column: name of the text column.
        label_column: name of the label column.
        is_multi_label: a text may have several labels, or none; also so where every label of the
            file is a JSON list, or the model says so and knows the file's labels.
        label_separator: between the labels of a cell; `|` where absent and needed. Given, a text
            may have several labels.
    """

    model: str
    train: Path
    dev: Path
    out: Path
    settings: TrainSettings = field(default_factory=TrainSettings)
    learning_rate: float | None = None
    max_length: int | None = None
    vocabulary: int = 12_000
    teacher: str | None = None
    unlabelled: Path | None = None
    text_column: str | None = None
    label_column: str | None = None
    is_multi_label: bool = False
    label_separator: str | None = None

    def __post_init__(self) -> None:
        if self.unlabelled is not None and self.teacher is None:
            what = "unlabelled text has no use without a teacher"
            raise UserError(what, expected="--teacher MODEL beside --unlabelled")


def fit(request: FitRequest, *, progress: Progress, clock: Clock) -> dict[str, Any]:
    """Train and write a directory that `AutoModelForSequenceClassification` loads.

    A run that was interrupted goes on after its last whole epoch when repeated.

    Args:
        request: what to do.
        progress: told of batches and epochs.
        clock: times it.

    Returns:
        The result as JSON: `out`, `labels`, `problem_type` (`single_label` or `multi_label`),
        `leftovers`, `max_length`, `train`, `unlabelled`, `dev`, `dropped` (rows without a text),
        `dev_in_train` (dev rows whose text is a training row's), `report`.

    Raises:
        DataError: the training text holds one class only, or the files do not fit the model.
    """
    train, dev, names = read_training_text(
        request.train,
        request.dev,
        model=None if request.model in PRESETS else request.model,
        columns=(request.text_column, request.label_column),
        is_multi_label=request.is_multi_label,
        separator=request.label_separator,
    )
    _require_place(request.out)
    more = _read_unlabelled(request, dev)
    checkpoint = _start(request, [train, *([more] if more else [])], names)
    labels = LabelSet(checkpoint.labels, is_multi_label=checkpoint.is_multi_label)
    settings = _settings(request)
    work = request.out.with_name(f"{request.out.name}.work")
    with lock_folder(work):
        rows, loss_fn = _encode(label_corpus(train, labels), checkpoint), None
        resume = "train"
        if request.teacher is not None:
            part = label_corpus(train, labels)
            lesson = make_lesson(request.teacher, checkpoint, part, more, progress=progress)
            rows, loss_fn, resume = lesson.rows, lesson.loss_fn, f"train-{lesson.digest}"
        trained, report = train_classifier(
            checkpoint,
            rows,
            dev=_encode(label_corpus(dev, labels), checkpoint),
            settings=settings,
            progress=progress,
            clock=clock,
            resume_folder=work / resume,
            loss_fn=loss_fn,
        )
        save_checkpoint(trained, request.out)
    return {
        "out": str(request.out),
        "labels": list(trained.labels),
        "problem_type": trained.problem_type,
        "leftovers": list(trained.leftovers),
        "max_length": trained.max_length,
        "train": len(train),
        "unlabelled": 0 if more is None else len(more),
        "dev": len(dev),
        "dropped": train.dropped_empty + dev.dropped_empty,
        "dev_in_train": len(find_leaks(train, dev).rows),
        "report": to_json(report),
    }


def _require_place(place: Path) -> None:
    """Replace an older result only: `--out .` must not cost somebody a folder."""
    if not place.exists():
        return
    found = {path.name for path in place.iterdir()} if place.is_dir() else {place.name}
    if not place.is_dir() or not found <= WRITTEN:
        what = f"'{place}' exists and is not what `thinfer fit` wrote"
        raise UserError(
            what,
            expected="a new folder, an empty one or an older result",
            got=str(sorted(found - WRITTEN)[:5]),
            do="name another --out",
        )


def _settings(request: FitRequest) -> TrainSettings:
    rate = request.learning_rate
    if rate is None:
        rate = TrainSettings().learning_rate
        if (preset := PRESETS.get(request.model)) is not None:
            # Layer norms behind the blocks: a deep wide model falls over at a small one's rate.
            wide = max(1.0, preset.hidden / _PRESET_HIDDEN)
            deep = max(1.0, preset.layers / _PRESET_LAYERS)
            rate = _PRESET_RATE / (wide * deep)
    return dataclasses.replace(request.settings, learning_rate=rate)


def _read_unlabelled(request: FitRequest, dev: Corpus) -> Corpus | None:
    if request.unlabelled is None:
        return None
    more = read_corpus(request.unlabelled, text_column=request.text_column, need_labels=False)
    return without(more, find_leaks(dev, more).rows)


def _start(request: FitRequest, parts: Sequence[Corpus], names: FoundLabels) -> Checkpoint:
    if request.model not in PRESETS:
        return load_checkpoint(
            request.model,
            classes=names.names,
            max_length=request.max_length,
            is_multi_label=names.is_multi_label,
        )
    length = request.max_length or _PRESET_LENGTH
    texts = [text for part in parts for text in (*part.texts, *(part.pairs or ()))]
    tokenizer = learn_wordpiece(texts, size=request.vocabulary, max_length=length)
    return build_preset(
        request.model,
        tokenizer=tokenizer,
        labels=names.names,
        max_length=length,
        seed=request.settings.seed,
        problem_type=f"{'multi' if names.is_multi_label else 'single'}_label_classification",
    )


def _encode(part: LabelledSet, checkpoint: Checkpoint) -> Encoded:
    encoding = part.encode(checkpoint.tokenizer)
    return Encoded(batch=encoding.batch, targets=np.asarray(part.truth, dtype=np.int64))
