"""Two-layer classifiers of other forms: several labels a text, and pairs; trained in seconds."""

from __future__ import annotations

import atexit
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tests.support.small_task import SmallTask
from thinfer.architecture import Architecture, LayerShape
from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.presets import draw_encoder
from thinfer.nn.save import save_checkpoint
from thinfer.nn.schedule import TrainSettings
from thinfer.nn.train import Encoded, train_classifier
from thinfer.pipeline.data import label_corpus
from thinfer.pipeline.label_reading import FoundLabels, read_training_text
from thinfer.quality.labels import LabelSet
from thinfer.text.corpus import Corpus
from thinfer.text.learn import learn_wordpiece
from thinfer.text.moderation_tasks import generate_moderation_sets, generate_pairs, write_task

MAX_LENGTH = 48
ROWS = (1000, 160, 160)


@functools.cache
def small_sets() -> SmallTask:
    """A model of six labels of which a text has several or none; about 0.93 micro F1."""
    return _make(generate_moderation_sets, "sets", epochs=6)


@functools.cache
def small_pairs() -> SmallTask:
    """A model that compares two texts; about 0.95 of dev right."""
    return _make(generate_pairs, "pairs", epochs=6)


def _make(generate: Callable[..., Corpus], name: str, *, epochs: int) -> SmallTask:
    """Make it once a process; the files go with the process."""
    folder = tempfile.TemporaryDirectory(prefix=f"thinfer-small-{name}-")
    atexit.register(folder.cleanup)
    root = Path(folder.name)
    rows = generate(np.random.default_rng(5), rows=sum(ROWS))
    write_task(root, rows, train=ROWS[0], dev=ROWS[1], test=ROWS[2])
    files = {part: root / f"{part}.jsonl" for part in ("train", "dev", "test")}
    train, dev, found = read_training_text(
        files["train"],
        files["dev"],
        model=None,
        columns=(None, None),
        is_multi_label=False,
        separator=None,
    )
    save_checkpoint(_train(train, dev, found, epochs), root / "model")
    return SmallTask(root=root, model=root / "model", **files)


def fresh_checkpoint(train: Corpus, found: FoundLabels) -> Checkpoint:
    """Two layers of width 48, drawn wide: from the usual small weights it would take minutes."""
    texts = [*train.texts, *(train.pairs or ())]
    tokenizer = learn_wordpiece(texts, size=1500, max_length=MAX_LENGTH)
    layer = LayerShape(heads=4, qk_size=12, value_size=12, ffn=96)
    shape = Architecture(
        hidden=48,
        layers=(layer, layer),
        vocab=tokenizer.vocab_size,
        positions=64,
        type_rows=4,
        task_rows=3,
        classes=len(found.names),
        layer_norm_eps=1e-5,
    )
    model = draw_encoder(shape, np.random.default_rng(0))
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim == 2:
                value.mul_(6.0)
    kind = "multi" if found.is_multi_label else "single"
    return Checkpoint(
        model=model,
        tokenizer=tokenizer,
        labels=found.names,
        architecture=shape,
        family="ernie",
        max_length=MAX_LENGTH,
        config={"model_type": "ernie", "problem_type": f"{kind}_label_classification"},
    )


def _train(train: Corpus, dev: Corpus, found: FoundLabels, epochs: int) -> Checkpoint:
    fresh = fresh_checkpoint(train, found)
    labels = LabelSet(found.names, is_multi_label=found.is_multi_label)
    parts = []
    for corpus in (train, dev):
        part = label_corpus(corpus, labels)
        parts.append(Encoded(batch=part.encode(fresh.tokenizer).batch, targets=part.truth))
    settings = TrainSettings(
        epochs=epochs,
        batch_size=16,
        learning_rate=3e-3,
        precision="fp32",
        patience=epochs,
        dropout=0.0,
    )
    trained, _ = train_classifier(
        fresh,
        parts[0],
        dev=parts[1],
        settings=settings,
        progress=SilentProgress(),
        clock=SystemClock(),
    )
    return trained
