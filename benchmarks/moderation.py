"""A moderation case: 3 % of the texts are findings, and accuracy hides what is lost of them.

Test rows of the set, thinned to 3 % positives many times with different draws. Candidates are real
bundles, each cut further by `thinfer compress`. What a candidate truly keeps of the findings is
seen on all positives of the test set, of which every draw has only some.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.classes import answer_texts, judge_floors, pack_original
from benchmarks.record import run_tool, save
from benchmarks.settings import (
    RealSet,
    Settings,
    make_parser,
    say,
    to_settings,
    write_rows,
)
from thinfer.bundle import open_bundle
from thinfer.quality import LabelSet

NORMAL = {"cold": "0"}  # sets with a label that is no finding
SHARE = 0.03
WIDTHS = ("1/8", "1/16", "1/32")
CUT_ROWS = 1000  # of each part: enough to cut by, and nothing is chosen
DRAWS = 100
BOUND = "99.5%"

Classes = NDArray[np.int64]


def cut_bundle(settings: Settings, item: RealSet, width: str) -> Path:
    """Give a bundle cut to a width, whatever it loses; it is made where it is absent."""
    out = settings.work / "moderation" / f"{item.name}-{width.replace('/', '-')}"
    if (out / "manifest.json").is_file():
        return out
    shutil.rmtree(out.with_name(f"{out.name}.work"), ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    words: list[object] = [settings.teacher(item)]
    for part in ("train", "dev", "test"):
        path = out.with_name(f"{item.name}-{part}.jsonl")
        write_rows(path, settings.corpus(item, part, most=CUT_ROWS))
        words += [f"--{part}", path]
    say(f"{item.name}: cut to {width}")
    run_tool(
        *("compress", *words, "--floor", "accuracy>=50%", "--out", out),
        *("--widths", width, "--engine", "onnxruntime", "--precision", "int8"),
        *("--threads", settings.threads, "--seed", settings.seed),
        may_break=True,
    )
    return out


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


def judge_set(settings: Settings, item: RealSet, bundles: dict[str, Path]) -> dict[str, Any]:
    """Judge every bundle against the teacher on the test rows."""
    corpus = settings.corpus(item, "test")
    origin = pack_original(settings, item)
    names = tuple(open_bundle(origin).manifest.labels)
    labels = LabelSet(names, NORMAL[item.name])
    truth = labels.align(corpus.labels or ())
    original = answer_texts(origin, corpus, threads=settings.threads)
    found = {}
    for name, bundle in bundles.items():
        chosen = open_bundle(bundle).manifest.chosen
        candidate = answer_texts(bundle, corpus, threads=settings.threads)
        found[f"{item.name}, {name}"] = {
            "engine": chosen.name,
            "precision": chosen.precision,
            **judge_candidate(
                settings, labels, truth=truth, original=original, candidate=candidate
            ),
        }
    return found


def main() -> None:
    """Run it for every set with findings whose data and teacher are here."""
    parser = make_parser(__doc__)
    parser.add_argument("--widths", default=",".join(WIDTHS), help="what is left of each layer")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    for item in settings.present():
        if item.name not in NORMAL:
            continue
        bundles = {
            f"width {width}": cut_bundle(settings, item, width)
            for width in arguments.widths.split(",")
        }
        save(settings, "moderation", judge_set(settings, item, bundles))


if __name__ == "__main__":
    main()
