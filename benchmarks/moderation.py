"""A moderation case: 3 % of the texts are findings, and accuracy hides what is lost of them.

Test rows of the set, thinned to 3 % positives many times with different draws. Candidates are the
teacher, pruned and repaired on unlabelled training text of the same 3 %, as the traffic of such
a service is, to several shares of the encoder's arithmetic; and the linear model that `compress`
fits beside every result, on such text with its labels. What a candidate truly keeps of the
findings is seen on all positives of the test set, of which every draw has only some.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.classes import judge_floors
from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.compress.prune import PruneTarget, build_ladders, prune_to
from thinfer.compress.state import State
from thinfer.core.clock import SystemClock
from thinfer.engine.registry import available_engines, open_engine_folder
from thinfer.export.write import ExportRequest, write_engine
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.linear import fit_linear
from thinfer.pipeline.original import state_of
from thinfer.quality import LabelSet
from thinfer.text.batch import Batch
from thinfer.text.corpus import Corpus

NORMAL = {"cold": "0"}  # sets with a label that is no finding
SHARE = 0.03
CUTS = {48: (1 / 8, 1 / 10), 256: (1 / 6, 1 / 10, 1 / 14)}  # texts to prune by: shares that stay
LINEAR = "linear"
DRAWS = 50
BOUND = "99.5%"
_BATCH = 256

Classes = NDArray[np.int64]


def prune_teacher(
    state: State, corpus: Corpus, labels: LabelSet, *, texts: int, seed: int
) -> Iterator[tuple[str, State]]:
    """Prune a teacher to some ratios, on training text thinned to 3 % findings.

    Args:
        state: the teacher.
        corpus: training text; its labels only thin it.
        labels: the classes, with the normal one.
        texts: how many calibrate; one of `CUTS`.
        seed: of the rows that calibrate.
    """
    rng = np.random.default_rng(seed)
    thinned = thin_rows(labels.align(corpus.labels or ()), labels.index(str(labels.normal)), rng)
    rows = sorted(map(int, rng.permutation(thinned)[:texts]))
    calibration = state.tokenizer.encode(corpus.select(rows).texts).batch
    ladders = build_ladders(state, calibration, rng=rng)
    for ratio in CUTS[texts]:
        small, report = prune_to(state, ladders, calibration, PruneTarget(ratio=ratio))
        name = f"1/{round(1 / ratio)} of the encoder by {texts} texts"
        say(f"{name}: {report.outcome}")
        yield name, small


def answer_rows(state: State, texts: Batch, *, threads: int) -> Classes:
    """Give FP32 classes from the faster of two engines that are here, int64 `[rows]`."""
    name = "onnxruntime" if available_engines()["native"] else "native"
    with tempfile.TemporaryDirectory(prefix="thinfer-") as root:
        folder, shape = Path(root), state.architecture
        request = ExportRequest(
            weights=state.weights, architecture=shape, folder=folder, pad_id=state.pad_id
        )
        spec = write_engine(name, "fp32", request)
        engine = open_engine_folder(folder, spec, shape, pad_id=state.pad_id, threads=threads)
        parts = [
            engine.run(texts.select(list(range(start, min(start + _BATCH, len(texts))))))
            for start in range(0, len(texts), _BATCH)
        ]
        engine.close()
    found: Classes = np.concatenate(parts).argmax(axis=1)
    return found


def fit_words(settings: Settings, item: RealSet, labels: LabelSet) -> Classes:
    """Fit the linear model on training text with 3 % findings and let it answer `test`.

    Returns:
        int64 `[test rows]`, classes.
    """
    rng = np.random.default_rng(settings.seed)
    parts = []
    for part in ("train", "dev"):
        corpus = settings.corpus(item, part)
        truth = labels.align(corpus.labels or ())
        kept = thin_rows(truth, labels.index(str(labels.normal)), rng)
        parts.append(LabelledSet(corpus=corpus.select(kept.tolist()), truth=truth[kept]))
    test = settings.corpus(item, "test")
    truth = labels.align(test.labels or ())
    whole = LabelledSet(corpus=test, truth=truth)
    train, dev = parts
    return fit_linear(train, dev, whole, seed=settings.seed, clock=SystemClock()).test


def thin_rows(truth: Classes, normal: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Give rows of which 3 % are findings: all others, and so many findings drawn from all.

    Args:
        truth: int64 `[rows]`, classes.
        normal: the class that is no finding.
        rng: where chance comes from.

    Returns:
        int64 `[kept]`, rising.
    """
    others, positives = np.flatnonzero(truth == normal), np.flatnonzero(truth != normal)
    count = min(len(positives), round(len(others) * SHARE / (1 - SHARE)))
    return np.sort(np.concatenate([others, rng.permutation(positives)[:count]]))


def judge_candidate(
    settings: Settings, labels: LabelSet, *, truth: Classes, original: Classes, candidate: Classes
) -> dict[str, Any]:
    """Judge accuracy and the recall of findings on the first draw, on all rows, and count draws."""
    positive = next(name for name in labels.names if name != labels.normal)
    exprs = [f"{name}>={BOUND}" for name in ("accuracy", f"recall[{positive}]", "flagged_recall")]
    rng = np.random.default_rng(settings.seed)
    found: list[list[dict[str, Any]]] = []
    for _ in range(DRAWS):
        kept = thin_rows(truth, labels.index(str(labels.normal)), rng)
        sides = {"truth": truth, "original": original, "candidate": candidate}
        thinned = {name: rows[kept] for name, rows in sides.items()}
        found.append(judge_floors(exprs, labels, **thinned, seed=settings.seed))
    whole = judge_floors(
        exprs, labels, truth=truth, original=original, candidate=candidate, seed=settings.seed
    )
    said = [(floors[0]["verdict"], floors[1]["verdict"]) for floors in found]
    return {
        "rows": len(kept),
        "positives": int((truth[kept] != labels.index(str(labels.normal))).sum()),
        "first_draw": found[0],
        "whole": whole,
        "draws": DRAWS,
        "verdicts": [
            {"accuracy": pair[0], "recall": pair[1], "draws": count}
            for pair, count in sorted(Counter(said).items())
        ],
    }


def judge_set(settings: Settings, item: RealSet, kind: str) -> dict[str, Any]:
    """Judge candidates of one kind against the teacher on the test rows."""
    checkpoint = load_checkpoint(str(settings.teacher(item)))
    labels, state = LabelSet(checkpoint.labels, NORMAL[item.name]), state_of(checkpoint)
    corpus = settings.corpus(item, "test")
    texts = state.tokenizer.encode(corpus.texts).batch
    truth = labels.align(corpus.labels or ())
    original = answer_rows(state, texts, threads=settings.threads)
    answers = {}
    if kind == LINEAR:
        answers["linear model"] = fit_words(settings, item, labels)
    else:
        train = settings.corpus(item, "train")
        pruned = prune_teacher(state, train, labels, texts=int(kind), seed=settings.seed)
        for name, small in pruned:
            answers[name] = answer_rows(small, texts, threads=settings.threads)
    return {
        f"{item.name}, {name}": judge_candidate(
            settings, labels, truth=truth, original=original, candidate=candidate
        )
        for name, candidate in answers.items()
    }


def main() -> None:
    """Run it for every set with findings whose data and teacher are here."""
    parser = make_parser(__doc__)
    kinds = ",".join([LINEAR, *map(str, CUTS)])
    parser.add_argument("--kinds", default=kinds, help=f"some of {kinds}: texts to prune by")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    for item in settings.present():
        for kind in arguments.kinds.split(",") if item.name in NORMAL else ():
            save(settings, "moderation", judge_set(settings, item, kind))


if __name__ == "__main__":
    main()
