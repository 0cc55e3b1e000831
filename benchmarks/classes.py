"""Each class of each set between a teacher and its compressed bundle: what is proven of it.

The original is the teacher as it was brought, packed in FP32 for ONNX Runtime; the bundle is that
of `compress_sets`, in its own engine. Nobody chose anything by these verdicts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compress_sets import bundle_of
from benchmarks.record import run_tool, save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.bundle import open_bundle
from thinfer.classifier import Classifier
from thinfer.core.codec import to_json
from thinfer.quality import LabelSet, judge, parse_floor
from thinfer.text.corpus import Corpus

__all__ = ["answer_texts", "judge_floors", "pack_original"]

FORMS = ("all", "onnxruntime")  # the first that is there
BOUND = "99.5%"
_BATCH = 256

Classes = NDArray[np.int64]


def pack_original(settings: Settings, item: RealSet) -> Path:
    """Give the teacher's FP32 bundle; it is packed where it is absent."""
    out = settings.work / "bundles" / f"{item.name}-packed-fp32"
    if not (out / "manifest.json").is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        words = ["--precision", "fp32", "--engine", "onnxruntime"]
        run_tool("pack", settings.teacher(item), "--out", out, *words)
    return out


def answer_texts(bundle: Path, corpus: Corpus, *, threads: int) -> Classes:
    """Ask a bundle in its own engine.

    Returns:
        int64 `[rows]`, classes.
    """
    texts = list(corpus.texts)
    with Classifier.open(bundle, threads=threads) as classifier:
        labels = LabelSet(tuple(classifier.bundle.manifest.labels))
        found = [
            labels.index(answer.label)
            for start in range(0, len(texts), _BATCH)
            for answer in classifier.predict(texts[start : start + _BATCH])
        ]
    return np.asarray(found, dtype=np.int64)


def judge_floors(
    exprs: list[str],
    labels: LabelSet,
    *,
    truth: Classes,
    original: Classes,
    candidate: Classes,
    seed: int,
) -> list[dict[str, Any]]:
    """Judge floors; each verdict as JSON, with what was kept as a share of the original's."""
    found = []
    for expr in exprs:
        verdict = judge(
            parse_floor(expr, labels),
            truth=truth,
            original=original,
            candidate=candidate,
            labels=labels,
            rng=np.random.default_rng(seed),
        )
        scale = verdict.original or 1.0
        kept = [value / scale for value in (verdict.value, *verdict.interval)]
        found.append({**to_json(verdict), "kept": kept[0], "kept_interval": kept[1:]})
    return found


def judge_classes(settings: Settings, item: RealSet, bundle: Path) -> dict[str, Any]:
    """Judge every label's recall, and accuracy beside it, on the whole test set."""
    corpus = settings.corpus(item, "test")
    chosen = open_bundle(bundle).manifest.chosen
    labels = LabelSet(tuple(open_bundle(bundle).manifest.labels))
    sides = [
        answer_texts(place, corpus, threads=settings.threads)
        for place in (pack_original(settings, item), bundle)
    ]
    exprs = [f"accuracy>={BOUND}", *(f"recall[{name}]>={BOUND}" for name in labels.names)]
    truth = labels.align(corpus.labels or ())
    return {
        "engine": chosen.name,
        "precision": chosen.precision,
        "rows": len(corpus),
        "rows_of": np.bincount(truth, minlength=len(labels)).tolist(),
        "floors": judge_floors(
            exprs, labels, truth=truth, original=sides[0], candidate=sides[1], seed=settings.seed
        ),
    }


def main() -> None:
    """Run it for every set whose data, teacher and bundle are here."""
    settings = to_settings(make_parser(__doc__).parse_args())
    for item in settings.present():
        places = [bundle_of(settings, item, form) for form in FORMS]
        here = [place for place in places if (place / "manifest.json").is_file()]
        if not here:
            say(f"{item.name}: left out, no {places[0]}; run benchmarks.compress_sets")
            continue
        result = judge_classes(settings, item, here[0])
        save(settings, "classes", {item.name: result})
        proven = [floor["verdict"] for floor in result["floors"]]
        say(f"{item.name}: {', '.join(proven)}")


if __name__ == "__main__":
    main()
