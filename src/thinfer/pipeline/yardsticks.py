"""The cheap models beside the result: where one of them holds the floor, the report says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.pipeline.candidate import BATCH_TEXTS, Candidate, Runner
from thinfer.pipeline.job import Job
from thinfer.pipeline.linear import LinearResult, fit_linear
from thinfer.pipeline.textcnn import Lessons, TextCnnResult, fit_textcnn
from thinfer.quality.answers import encode_answers
from thinfer.text.batch import Batch
from thinfer.text.corpus import Corpus

__all__ = ["Yardsticks", "describe_yardsticks", "fit_yardsticks", "warn_about_yardsticks"]

_TEACHING_SECONDS = 15.0  # the teacher answers as many texts as it can in about this time
_FEWEST_TEXTS = 256
_NAMES = {"linear": "hashed n-grams, linear", "textcnn": "TextCNN, distilled"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Yardsticks:
    """Models that cost next to nothing.

    Attributes:
        linear: logistic regression on hashed n-grams.
        textcnn: a convolutional network over tokens.
    """

    linear: LinearResult
    textcnn: TextCnnResult


def fit_yardsticks(job: Job, teacher: Candidate) -> Yardsticks:
    """Fit both on the training text and the teacher's answers to it.

    Args:
        job: the run.
        teacher: timed; the chosen form, which answers as the original does and sooner.

    Returns:
        What they answer on `dev` and `test`.
    """
    sets, seed, clock = job.sets, job.request.seed, job.clock
    tokenizer, truth = job.original.tokenizer, sets.train.truth
    several = job.labels.is_multi_label
    texts = [sets.train.corpus, *([sets.unlabelled] if sets.unlabelled else [])]
    with job.progress.task("cheap models beside the result", 3) as advance:
        taught = _ask(job, teacher, texts)
        advance(1)
        own = taught[: len(truth)]
        linear = fit_linear(
            sets.train,
            sets.dev,
            sets.test,
            seed=seed,
            clock=clock,
            taught=own,
            labels=job.labels,
        )
        advance(1)
        # An unlabelled text teaches through the teacher's answer, or not at all.
        answered = np.isfinite(taught).all(axis=1)
        rows = np.flatnonzero(answered | (np.arange(len(taught)) < len(truth)))
        targets = np.concatenate([truth, np.zeros(len(taught) - len(truth), dtype=np.int64)])
        targets[len(truth) :] = encode_answers(
            np.nan_to_num(taught[len(truth) :]), is_multi_label=several
        )
        batch = Batch.concatenate(
            [tokenizer.encode(part.texts, part.pairs).batch for part in texts]
        )
        textcnn = fit_textcnn(
            Lessons(
                batch=batch.select(rows),
                targets=targets[rows],
                taught=taught[rows],
                is_multi_label=several,
            ),
            sets.dev,
            sets.test,
            tokenizer=tokenizer,
            vectors=job.original.weights["embeddings.word.weight"],
            seed=seed,
            clock=clock,
        )
        advance(1)
    return Yardsticks(linear=linear, textcnn=textcnn)


def _ask(job: Job, teacher: Candidate, parts: list[Corpus]) -> NDArray[np.float32]:
    """Give the teacher's logits, `[rows of all parts, classes]`; NaN where time was too short."""
    total = sum(map(len, parts))
    speed = float(teacher.facts.get("texts_per_second") or 0.0)
    count = min(total, max(_FEWEST_TEXTS, int(speed * _TEACHING_SECONDS)))
    chosen = np.sort(job.rng().permutation(total)[:count])
    taught = np.full((total, len(job.labels.names)), np.nan, dtype=np.float32)
    runner, start = teacher.open(job.threads), 0
    try:
        for part in parts:
            rows = chosen[(chosen >= start) & (chosen < start + len(part))]
            if len(rows):
                taught[rows] = _run(runner, part.select((rows - start).tolist()))
            start += len(part)
    finally:
        runner.close()
    return taught


def _run(runner: Runner, part: Corpus) -> NDArray[np.float32]:
    order = np.argsort([len(text) for text in part.texts], kind="stable")  # little padding
    logits = []
    for start in range(0, len(order), BATCH_TEXTS):
        some = part.select(order[start : start + BATCH_TEXTS].tolist())
        logits.append(runner.run(some.texts, some.pairs))
    found = np.concatenate(logits)
    return found[np.argsort(order, kind="stable")]


def describe_yardsticks(job: Job, found: Yardsticks) -> dict[str, Any]:
    """Give both as JSON, by the names of their fields in the result.

    Args:
        job: the run.
        found: what was fitted.
    """
    described: dict[str, Any] = {}
    for field, model in _models(found).items():
        described[field] = {
            "name": _NAMES[field],
            "metrics": job.measure(job.sets.test, model.test),
            "dev_metrics": job.measure(job.sets.dev, model.dev),
            "missed_on_dev": list(job.missed_floors(model.dev, is_kin=False)),
            "texts_per_second": model.texts_per_second,
            "size_bytes": model.size_bytes,
        }
    described["linear"]["is_taught"] = found.linear.is_taught
    described["textcnn"]["taught_rows"] = found.textcnn.taught_rows
    described["textcnn"]["epochs"] = found.textcnn.epochs
    return described


def warn_about_yardsticks(job: Job, found: Yardsticks) -> list[str]:
    """Give a warning for each that clears the floors on `dev`.

    Args:
        job: the run.
        found: what was fitted.
    """
    kinds = {"linear": "A linear model on hashed n-grams", "textcnn": "A distilled TextCNN"}
    return [
        f"{kinds[field]} clears the floors on dev as well: this task may not need a transformer."
        for field, model in _models(found).items()
        if not job.missed_floors(model.dev, is_kin=False)
    ]


def _models(found: Yardsticks) -> Mapping[str, LinearResult | TextCnnResult]:
    return {"linear": found.linear, "textcnn": found.textcnn}
