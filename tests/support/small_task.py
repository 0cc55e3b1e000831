"""A two-layer classifier trained in seconds on the generated moderation corpus, and its files."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thinfer.architecture import Architecture, LayerShape
from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.presets import draw_encoder
from thinfer.nn.save import save_checkpoint
from thinfer.nn.schedule import TrainSettings
from thinfer.nn.train import Encoded, train_classifier
from thinfer.pipeline.data import label_corpus
from thinfer.quality.labels import LabelSet
from thinfer.text.corpus import Corpus, read_corpus
from thinfer.text.learn import learn_wordpiece
from thinfer.text.moderation import write_moderation

THINFER = (sys.executable, "-m", "thinfer")
MAX_LENGTH = 32
ROWS = (400, 120, 160)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallTask:
    """Where the files are.

    Attributes:
        root: folder of everything; read-only by agreement.
        model: a Hugging Face directory.
        train: 400 rows.
        dev: 120 rows.
        test: 160 rows.
    """

    root: Path
    model: Path
    train: Path
    dev: Path
    test: Path

    def words(self, out: Path, *more: str) -> list[str]:
        """The words of a small and quick `compress`."""
        return [
            "compress", str(self.model), "--train", str(self.train), "--dev", str(self.dev),
            "--test", str(self.test), "--out", str(out), "--threads", "1", *more,
        ]  # fmt: skip


@functools.cache
def small_task() -> SmallTask:
    """Make it once a process; the files go with the process."""
    folder = tempfile.TemporaryDirectory(prefix="thinfer-small-task-")
    atexit.register(folder.cleanup)
    root = Path(folder.name)
    train, dev, test = ROWS
    write_moderation(root, seed=3, train=train, dev=dev, test=test)
    corpora = {name: read_corpus(root / f"{name}.csv") for name in ("train", "dev", "test")}
    save_checkpoint(train_small(corpora["train"], corpora["dev"]), root / "model")
    return SmallTask(
        root=root, model=root / "model", **{name: root / f"{name}.csv" for name in corpora}
    )


def train_small(train: Corpus, dev: Corpus, *, epochs: int = 8, heads: int = 4) -> Checkpoint:
    """Train two layers of width 48 from nothing."""
    texts = [*train.texts, *(train.pairs or ())]
    tokenizer = learn_wordpiece(texts, size=1500, max_length=MAX_LENGTH)
    labels = tuple(sorted(set(train.labels or ())))
    layer = LayerShape(heads=heads, qk_size=48 // heads, value_size=48 // heads, ffn=96)
    shape = Architecture(
        hidden=48,
        layers=(layer, layer),
        vocab=tokenizer.vocab_size,
        positions=64,
        type_rows=4,
        task_rows=3,
        classes=len(labels),
        layer_norm_eps=1e-5,
    )
    fresh = Checkpoint(
        model=draw_encoder(shape, np.random.default_rng(0)),
        tokenizer=tokenizer,
        labels=labels,
        architecture=shape,
        family="ernie",
        max_length=MAX_LENGTH,
        config={"model_type": "ernie", "problem_type": "single_label_classification"},
    )
    parts = []
    for corpus in (train, dev):
        part = label_corpus(corpus, LabelSet(labels))
        parts.append(Encoded(batch=part.encode(tokenizer).batch, targets=part.truth))
    settings = TrainSettings(
        epochs=epochs, batch_size=16, learning_rate=3e-3, precision="fp32", patience=epochs
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


def run_thinfer(*words: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own, on one thread."""
    return subprocess.run(
        [*THINFER, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=quiet_environment(),
    )


def quiet_environment() -> dict[str, str]:
    """This process's environment with one thread, no debugging, and warnings as errors."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("THINFER_")}
    return {**kept, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


QUICK = ("--engine", "onnxruntime", "--precision", "fp32", "--precision", "int8", "--widths", "1/2")
FLOORS = ("accuracy>=80%", "flagged_recall>=0.3", "macro_f1>=60%")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallRun:
    """A finished `compress`; its folders are to be copied before they are changed.

    Attributes:
        out: the bundle.
        prices: the latency table that it was made with.
        result: what `--json` printed.
        said: stderr.
    """

    out: Path
    prices: Path
    result: dict[str, Any]
    said: str


@functools.cache
def small_run() -> SmallRun:
    """Compress the small task once a process, by the command line."""
    task = small_task()
    out = task.root / "run" / "bundle"
    prices = task.root / "run" / "prices.json"
    prices.parent.mkdir(parents=True)
    words = task.words(out, *asking(FLOORS), *QUICK, "--latency-table", str(prices))
    done = run_thinfer(*words, "--json")
    if done.returncode:
        raise RuntimeError(done.stderr)
    return SmallRun(out=out, prices=prices, result=json.loads(done.stdout), said=done.stderr)


def asking(floors: Sequence[str], normal: str = "normal") -> list[str]:
    """The words that ask for floors."""
    return ["--normal-label", normal, *(word for floor in floors for word in ("--floor", floor))]


def files_below(folder: Path) -> dict[str, bytes]:
    """Name below the folder → bytes, of every file."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def half_written(folder: Path) -> list[str]:
    """What a broken write would have left anywhere below a folder."""
    return sorted(str(path) for path in folder.rglob(".*"))
