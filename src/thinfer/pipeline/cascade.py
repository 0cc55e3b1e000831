"""`calibrate-cascade`: how sure a small model must be to answer in place of a bigger one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle.gate import Gate
from thinfer.classifier import Classifier
from thinfer.core.clock import Clock
from thinfer.core.codec import to_json
from thinfer.core.progress import Progress
from thinfer.errors import DataError, UserError
from thinfer.pipeline.data import LabelledSet, label_corpus
from thinfer.pipeline.gate import require_plain, run_corpus
from thinfer.pipeline.judge import describe_floor
from thinfer.quality.cascade import CascadePolicy, CascadeStage, score_confidence
from thinfer.quality.floor import Floor, default_floors, parse_floor, warn_about_floors
from thinfer.quality.foresight import fit_temperature
from thinfer.quality.labels import LabelSet
from thinfer.quality.metrics import measure_quality
from thinfer.quality.threshold import (
    EVERYTHING_GOES_ON,
    CascadeRows,
    ThresholdChoice,
    choose_threshold,
    judge_threshold,
)
from thinfer.quality.verdict import overall
from thinfer.text.corpus import Corpus
from thinfer.text.splits import find_leaks, without

__all__ = ["CascadeRequest", "calibrate_cascade"]


Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CascadeRequest:
    """What the user asked for.

    Attributes:
        small: the bundle that answers first, or the file of a gate.
        big: the bundle that answers what the small one is unsure of.
        data: labelled text that chooses the threshold.
        test: labelled text that judges it; rows that stand in `data` too are left out.
        floors: expressions; the defaults where there are none.
        normal_label: the label that is no finding; the big bundle's own when absent.
        engine: of the small bundle; its chosen one when absent.
        big_engine: of the big bundle; its chosen one when absent.
        threads: of one engine call.
        seed: of floors that are judged by resampling.
    """

    small: Path
    big: Path
    data: Corpus
    test: Corpus | None = None
    floors: tuple[str, ...] = ()
    normal_label: str | None = None
    engine: str | None = None
    big_engine: str | None = None
    threads: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Small:
    """What answers first; rows of NaN where it gives no answer."""

    labels: tuple[str, ...]
    stage: CascadeStage
    run: Callable[[Corpus, Progress], Logits]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Task:
    """What is asked of the two models: the same texts, classes and floors."""

    labels: LabelSet
    floors: tuple[Floor, ...]
    parts: tuple[LabelledSet, ...]  # the one that chooses, then perhaps the one that judges
    order: tuple[int, ...]  # place of each class in the big model's logits


def calibrate_cascade(
    request: CascadeRequest, *, progress: Progress, clock: Clock
) -> tuple[CascadePolicy | None, dict[str, Any]]:
    """Run both bundles on labelled text and choose the threshold between them.

    Args:
        request: bundles, data and floors.
        progress: told of the batches.
        clock: dates the policy.

    Returns:
        The policy, and the result as JSON. Where the floors are proven under no threshold, there
        is no policy, and the result says why: every text would go on, the share is 1.
    """
    with _open_small(request) as small, _open_big(request) as big:
        task = _prepare(request, small.labels, big)
        first = [small.run(part.corpus, progress) for part in task.parts]
        name = f"run {request.big}"
        second = [run_corpus(big, part.corpus, name, progress) for part in task.parts]
        stages = (small.stage, _stage_of(big))
    temperature = _fit(first[0], task.parts[0])
    rows = [
        CascadeRows(
            truth=part.truth,
            small=mine.argmax(axis=1),
            big=other[:, task.order].argmax(axis=1),
            scores=np.nan_to_num(score_confidence(mine, temperature), nan=-1.0),
        )
        for part, mine, other in zip(task.parts, first, second, strict=True)
    ]
    choice = choose_threshold(task.floors, rows[0], labels=task.labels, seed=request.seed)
    is_proven = choice.threshold is not None
    threshold = EVERYTHING_GOES_ON if choice.threshold is None else choice.threshold
    judged = len(rows) if is_proven else 1  # a test set is not spent on what will not be used
    found = [
        _describe(part, row, threshold, task=task, seed=request.seed)
        for part, row in zip(task.parts[:judged], rows[:judged], strict=True)
    ]
    policy = CascadePolicy(
        small=stages[0],
        big=stages[1],
        labels=task.labels.names,
        temperature=temperature,
        threshold=min(threshold, 1.0),
        floors=tuple(floor.expr for floor in task.floors),
        normal_label=task.labels.normal,
        dev=found[0],
        test=found[1] if len(found) > 1 else None,
        created=datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="seconds"),
    )
    body = {
        "threshold": choice.threshold,
        "verdict": found[-1]["verdict"] if is_proven else overall(choice.stopped_verdicts),
        "stopped": _describe_stop(choice),
        "warnings": _warn(request, task),
    }
    return policy if is_proven else None, {**to_json(policy), **body}


@contextmanager
def _open_small(request: CascadeRequest) -> Iterator[_Small]:
    if request.small.is_file():
        gate, digest = Gate.read(request.small)
        yield _Small(
            labels=gate.labels,
            stage=CascadeStage(version=digest, engine="ngrams", precision="fp32"),
            run=lambda corpus, progress: gate.logits(corpus.texts),
        )
        return
    with Classifier.open(request.small, engine=request.engine, threads=request.threads) as opened:
        require_plain(opened)
        yield _Small(
            labels=opened.labels,
            stage=_stage_of(opened),
            run=lambda corpus, progress: run_corpus(
                opened, corpus, f"run {request.small}", progress
            ),
        )


@contextmanager
def _open_big(request: CascadeRequest) -> Iterator[Classifier]:
    with Classifier.open(request.big, engine=request.big_engine, threads=request.threads) as big:
        require_plain(big)
        yield big


def _fit(logits: Logits, part: LabelledSet) -> float:
    """Give the temperature of the rows that have an answer.

    Raises:
        DataError: there is none.
    """
    answered = np.isfinite(logits).all(axis=1)
    if not answered.any():
        what = f"the gate knows no row of '{part.corpus.name}'"
        raise DataError(what, do="fit it on more text")
    return fit_temperature(logits[answered], part.truth[answered])


def _prepare(request: CascadeRequest, small: tuple[str, ...], big: Classifier) -> _Task:
    """Read labels, floors and rows; whatever does not fit is refused before anything is run.

    Raises:
        DataError: the two do not have the same labels, or no row is left to judge.
        UserError: a gate is asked about text pairs.
    """
    if set(small) != set(big.labels):
        what = "the two bundles do not have the same labels"
        raise DataError(what, expected=str(sorted(small)), got=str(sorted(big.labels)))
    if request.small.is_file() and request.data.pairs is not None:
        what = "a gate reads single texts"
        raise UserError(what, got="text pairs")
    corpora = [request.data]
    if request.test is not None:
        corpora.append(without(request.test, find_leaks(request.data, request.test).rows))
        if not len(corpora[1]):
            what = f"every row of '{request.test.name}' stands in '{request.data.name}' too"
            raise DataError(what, expected="rows that took no part in the choice")
    normal = request.normal_label or big.bundle.manifest.normal_label
    labels = LabelSet(small, normal=normal)
    floors = tuple(parse_floor(expr, labels) for expr in request.floors)
    return _Task(
        labels=labels,
        floors=floors or default_floors(labels),
        parts=tuple(label_corpus(corpus, labels) for corpus in corpora),
        order=tuple(big.labels.index(label) for label in small),
    )


def _stage_of(classifier: Classifier) -> CascadeStage:
    info = classifier.engine.info
    version = classifier.bundle.manifest.content_digest
    return CascadeStage(version=version, engine=info.name, precision=info.precision)


def _warn(request: CascadeRequest, task: _Task) -> list[str]:
    warnings = list(warn_about_floors(task.floors, task.parts[0].truth, task.labels))
    if request.test is not None and len(task.parts[1]) < len(request.test):
        count = len(request.test) - len(task.parts[1])
        warnings.append(f"{count} test rows also stand in the data; they were left out.")
    return warnings


def _describe(
    part: LabelledSet, rows: CascadeRows, threshold: float, *, task: _Task, seed: int
) -> dict[str, Any]:
    """Give share, quality, intervals and verdict on one part, as JSON."""
    verdicts = judge_threshold(task.floors, rows, threshold, labels=task.labels, seed=seed)
    answers = {"cascade": rows.answers(threshold), "big": rows.big}
    if rows.scores.min() >= 0.0:  # a gate has no answer of its own to some texts
        answers["small"] = rows.small
    floors = zip(task.floors, verdicts, strict=True)
    return {
        "digest": part.corpus.digest,
        "n": len(part),
        "cloud_share": float(rows.goes_on(threshold).mean()),
        "verdict": overall(verdicts),
        "floors": [describe_floor(floor, verdict) for floor, verdict in floors],
        "metrics": {
            name: to_json(measure_quality(part.truth, each, task.labels))
            for name, each in answers.items()
        },
    }


def _describe_stop(choice: ThresholdChoice) -> dict[str, Any] | None:
    if choice.stopped is None:
        return None
    reasons = [item.reason for item in choice.stopped_verdicts if item.verdict != "holds"]
    return {
        "threshold": choice.stopped,
        "cloud_share": choice.stopped_share,
        "verdict": overall(choice.stopped_verdicts),
        "reasons": reasons,
    }
