"""Thresholds, several labels, pairs: is what is served what was judged?

Three generated tasks, each from a fitted model to a compressed bundle by the commands of a user:
texts of seven classes with thresholds and a false-positive rate, texts with up to two of six
labels, and pairs of texts. Then every test row is asked three ways: in the verdict itself
(`evidence.parquet`), by `thinfer predict`, and one by one through `/check` of a running service.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.agreement import post
from benchmarks.launch import start_thinfer
from benchmarks.record import run_tool, save
from benchmarks.settings import SETS, Settings, make_parser, say, to_settings
from thinfer.bundle import open_bundle
from thinfer.pipeline.reproof import read_evidence
from thinfer.text.corpus import Corpus, read_corpus
from thinfer.text.label_sets import SEPARATOR
from thinfer.text.moderation import generate_moderation
from thinfer.text.moderation_tasks import generate_moderation_sets, generate_pairs, write_task

START = "thuc"  # the encoder that the tasks are fitted on: it has seen Chinese
ROWS = {"train": 3000, "dev": 800, "test": 1500}
EPOCHS, RATE = 6, "1e-4"
WIDTHS, ENGINES = "1/2", ("--engine", "native", "--engine", "onnxruntime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One generated task and how its bundle is asked for."""

    name: str
    corpus: Corpus
    options: tuple[str, ...]

    @property
    def is_multi_label(self) -> bool:
        """Whether a text may have several labels."""
        return self.name == "several labels"


def make_tasks(seed: int) -> tuple[Task, ...]:
    """Generate the three tasks; the same seed gives the same texts."""
    total = sum(ROWS.values())
    floors = ("--floor", "flagged_recall>=98%", "--floor", "recall[fraud]@fpr=0.02>=95%")
    return (
        Task(
            name="thresholds",
            corpus=generate_moderation(np.random.default_rng(seed), rows=total),
            options=(
                *("--normal-label", "normal", *floors),
                *("--threshold", "abuse=0.3", "--priority", "abuse,fraud"),
            ),
        ),
        Task(
            name="several labels",
            corpus=generate_moderation_sets(np.random.default_rng(seed), rows=total),
            options=("--floor", "macro_f1>=98%", "--floor", "recall[adult]>=95%"),
        ),
        Task(
            name="pairs",
            corpus=generate_pairs(np.random.default_rng(seed), rows=total),
            options=("--floor", "accuracy>=98%", "--floor", "recall[worse]>=97%"),
        ),
    )


def compare_task(settings: Settings, task: Task, folder: Path) -> dict[str, Any]:
    """Fit, compress, and ask the bundle in every way."""
    say(f"{task.name}: fit")
    write_task(folder, task.corpus, **ROWS)
    files = {part: folder / f"{part}.jsonl" for part in ROWS}
    model, bundle = folder / "model", folder / "bundle"
    learn = [word for part in ("train", "dev") for word in (f"--{part}", files[part])]
    start = settings.teacher(SETS[START])
    rate = ("--learning-rate", RATE, "--seed", settings.seed)
    run_tool("fit", start, *learn, "--out", model, "--epochs", EPOCHS, *rate)
    say(f"{task.name}: compress")
    words = [*learn, "--test", files["test"], "--out", bundle, "--widths", WIDTHS, *ENGINES]
    words += ["--threads", settings.threads, "--seed", settings.seed, *task.options]
    result = run_tool("compress", model, *words, may_break=True)
    say(f"{task.name}: ask")
    test = read_corpus(files["test"], label_separator=SEPARATOR if task.is_multi_label else None)
    judged = read_evidence(open_bundle(bundle))
    held = judged.labels.members(judged.chosen)
    names = np.asarray(judged.labels.names)
    by_row = {
        int(row): names[members].tolist() for row, members in zip(judged.rows, held, strict=True)
    }
    offline = _predict(settings, bundle, files["test"])
    served = _check(settings, bundle, test)
    chosen = result["chosen"]
    return {
        "rows": len(test),
        "judged_rows": len(by_row),
        "engine": chosen["engine"],
        "precision": chosen["precision"],
        "speedup": result["speedup"],
        "verdict": result["verdict"],
        "accuracy": [result[side]["metrics"]["accuracy"] for side in ("original", "chosen")],
        "macro_f1": [result[side]["metrics"]["macro_f1"] for side in ("original", "chosen")],
        "floors": [
            {key: floor[key] for key in ("expr", "original", "value", "interval", "verdict")}
            | {"false_positive_rate": floor["false_positive_rate"]}
            for floor in result["floors"]
        ],
        "labels": sum(len(item) for item in by_row.values()) / len(by_row),
        # A threshold (or a set) changed the answer: the best score alone would say another.
        "decided": sum(_names(item) != [_best(item)] for item in offline),
        "predict_as_judged": sum(_names(offline[row]) == names for row, names in by_row.items()),
        "served_as_predicted": sum(
            _served_names(one) == _names(other) for one, other in zip(served, offline, strict=True)
        ),
        "largest_score_difference": max(
            abs(one["probability"] - other["score"])
            for one, other in zip(served, offline, strict=True)
            if one["result"] == other["label"]
        ),
    }


def _names(answer: dict[str, Any]) -> list[str]:
    return list(answer.get("labels", [answer["label"]]))


def _served_names(answer: dict[str, Any]) -> list[str]:
    return list(answer.get("labels", [answer["result"]]))


def _best(answer: dict[str, Any]) -> str:
    scores: dict[str, float] = answer["scores"]
    return max(scores, key=lambda name: scores[name])


def _predict(settings: Settings, bundle: Path, file: Path) -> list[dict[str, Any]]:
    target = file.with_name("answers.jsonl")
    words = ["predict", bundle, "--input", file, "--output", target, "--quiet"]
    argv = [sys.executable, "-m", "thinfer", *map(str, words), "--threads", str(settings.threads)]
    subprocess.run(argv, check=True)
    return [json.loads(line) for line in target.read_text("utf-8").splitlines()]


def _check(settings: Settings, bundle: Path, corpus: Corpus) -> list[dict[str, Any]]:
    found = []
    with start_thinfer(bundle, threads=settings.threads) as service:
        for row, text in enumerate(corpus.texts):
            pair = {} if corpus.pairs is None else {"pair": corpus.pairs[row]}
            found.append(post(service, "/check", {"content": text, **pair}))
    return found


def main() -> None:
    """Run every task."""
    settings = to_settings(make_parser(__doc__).parse_args())
    if not (settings.teacher(SETS[START]) / "config.json").is_file():
        say(f"left out: no teacher in {settings.teacher(SETS[START])}")
        return
    for task in make_tasks(settings.seed):
        with tempfile.TemporaryDirectory() as folder:
            save(settings, "tasks", {task.name: compare_task(settings, task, Path(folder))})


if __name__ == "__main__":
    main()
