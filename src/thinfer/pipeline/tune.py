"""`tune`: measure a bundle's engines again on this machine, and prove its floors again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from thinfer.bundle import LAYOUT, Bundle, open_bundle
from thinfer.compress.state import State
from thinfer.core.clock import Clock
from thinfer.core.codec import to_json
from thinfer.core.cores import usable_cores
from thinfer.core.progress import Progress
from thinfer.engine.registry import available_engines
from thinfer.errors import DataError, EngineError
from thinfer.export.parity import compare_logits
from thinfer.export.write import EXPORTERS, ExportRequest, write_engine
from thinfer.measure.probe import HostProbe
from thinfer.measure.timing import time_interleaved
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.candidate import Candidate, Form, Logits, describe_candidate
from thinfer.pipeline.data import LabelledSet, head, label_corpus
from thinfer.pipeline.finish import BundleParts, assemble_bundle
from thinfer.pipeline.job import Answers
from thinfer.pipeline.judge import describe_floor
from thinfer.pipeline.per_class import describe_calibration, describe_classes
from thinfer.quality.floor import Floor, parse_floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.metrics import measure_quality
from thinfer.quality.verdict import judge, overall
from thinfer.text.corpus import Corpus
from thinfer.text.tokenizer import Tokenizer

__all__ = ["TuneRequest", "tune"]

_TEXTS = 512
_AGREEMENT = 0.99  # with the bundle's own FP32 form, without a label in sight


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """One run of `tune`.

    Attributes:
        bundle: its path; rewritten when the floors are not broken.
        test: the labelled text that the bundle was judged on.
        calibrate: text that fixes the input ranges of INT8; the test texts when absent.
        threads: threads of one call.
        seed: of the golden sequences and of resampling.
    """

    bundle: Path
    test: Corpus
    calibrate: Corpus | None = None
    threads: int | None = None
    seed: int = 0


def tune(request: TuneRequest, *, progress: Progress, clock: Clock) -> dict[str, Any]:
    """Choose the fastest engine here that still answers as the bundle does, and judge it once.

    Labels take no part in the choice. The bundle is rewritten unless a floor is broken.

    Args:
        request: what to do.
        progress: told of the work.
        clock: times it.

    Returns:
        `bundle`, `verdict`, `floors`, `chosen`, `candidates`, `metrics`, `classes`, `calibration`,
        `n`, `test_digest`, `is_rewritten`.

    Raises:
        EngineError: no engine here answers as the bundle does.
    """
    bundle = open_bundle(request.bundle)
    labels = LabelSet(bundle.manifest.labels, normal=bundle.manifest.normal_label)
    report = _read_report(bundle)
    part, before = _match_test(report, request.test, labels)
    state = _state_of(bundle)
    threads = request.threads or usable_cores()
    with tempfile.TemporaryDirectory() as folder:
        candidates = _build(request, bundle, state, part, Path(folder), progress)
        _check_agreement(candidates, state, part, threads, progress)
        _time(candidates, part, threads, progress, clock)
        sound = [item for item in candidates if not item.facts["refused"]]
        if not sound:
            what = "no engine here answers as the bundle does"
            raise EngineError(what, do="run `thinfer verify` on the bundle")
        chosen = max(sound, key=lambda item: float(item.facts["texts_per_second"]))
        logits = _answer(chosen, part, threads)
        answers = logits.argmax(axis=1)
        demands = [parse_floor(body["expr"], labels) for body in report["floors"]]
        verdict, floors = _judge(demands, part, before, answers, labels, seed=request.seed)
        result = {
            "bundle": str(request.bundle),
            "verdict": verdict,
            "floors": floors,
            "chosen": chosen.facts,
            "candidates": [item.facts for item in candidates],
            "metrics": to_json(measure_quality(part.truth, answers, labels)),
            "classes": describe_classes(
                truth=part.truth, original=before, chosen=answers, labels=labels, floors=demands
            ),
            "calibration": {
                "original": report.get("calibration", {}).get("original"),
                "chosen": describe_calibration(logits, part.truth, labels=labels),
            },
            "n": len(part),
            "test_digest": part.corpus.digest,
            "is_rewritten": verdict != "broken",
        }
        if result["is_rewritten"]:
            _rewrite(bundle, state, chosen, result, request, threads)
        return result


def _read_report(bundle: Bundle) -> Mapping[str, Any]:
    place = bundle.path / LAYOUT.report
    body = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    if "answers" not in body:
        what = "the bundle carries no answers of the original to compare with"
        raise DataError(what, expected="a bundle that `thinfer compress` wrote", got="a packed one")
    return dict(body)


def _match_test(
    report: Mapping[str, Any], corpus: Corpus, labels: LabelSet
) -> tuple[LabelledSet, Any]:
    """Give the judged rows of the test file and the original's answers to them."""
    stored = report["answers"]
    places = {row: index for index, row in enumerate(corpus.rows)}
    rows = [places[row] for row in stored["rows"] if row in places]
    chosen = corpus.select(rows)
    if len(rows) != len(stored["rows"]) or chosen.digest != stored["test_digest"]:
        what = f"'{corpus.name}' is not the test file that the bundle was judged on"
        expected = f"digest {stored['test_digest'][:12]} of {len(stored['rows'])} rows"
        raise DataError(what, expected=expected, got=f"{chosen.digest[:12]} of {len(rows)} rows")
    return label_corpus(chosen, labels), np.asarray(stored["original"], dtype=np.int64)


def _state_of(bundle: Bundle) -> State:
    manifest = bundle.manifest
    tokenizer = Tokenizer.from_json(bundle.tokenizer_text(), max_length=manifest.max_length)
    return State(
        weights=bundle.weights(),
        architecture=manifest.architecture,
        tokenizer=tokenizer,
        labels=manifest.labels,
        max_length=manifest.max_length,
        pad_id=manifest.pad_id,
    )


def _build(
    request: TuneRequest,
    bundle: Bundle,
    state: State,
    part: LabelledSet,
    folder: Path,
    progress: Progress,
) -> list[Candidate]:
    corpus = request.calibrate or part.corpus
    pairs = None if corpus.pairs is None else corpus.pairs[:_TEXTS]
    calibration = state.tokenizer.encode(corpus.texts[:_TEXTS], pairs).batch
    kept = bundle.manifest.chosen.kept_fp32
    missing = available_engines()
    able = [pair for pair in EXPORTERS if pair[0] != "torch" and missing[pair[0]] is None]
    candidates = []
    with progress.task("engines", len(able)) as advance:
        for engine, precision in able:
            left = kept if precision == "int8" else ()
            form = Form(state="tuned", engine=engine, precision=precision, kept_fp32=left)
            place = folder / form.name
            place.mkdir()
            export = ExportRequest(
                weights=state.weights,
                architecture=state.architecture,
                folder=place,
                pad_id=state.pad_id,
                calibration=calibration,
                kept_fp32=form.kept_fp32,
            )
            spec = write_engine(engine, precision, export)
            describe_candidate(place, spec, state)
            item = Candidate(form=form, state=state, spec=spec, folder=place)
            item.facts.update(
                name=item.name,
                engine=engine,
                precision=precision,
                kept_fp32=list(left),
                size_bytes=item.size_bytes,
            )
            candidates.append(item)
            advance(1)
    return candidates


def _check_agreement(
    candidates: list[Candidate], state: State, part: LabelledSet, threads: int, progress: Progress
) -> None:
    sample = head(part, _TEXTS)
    batch = sample.encode(state.tokenizer).batch
    reference = compute_logits(state.module(), batch, pad_id=state.pad_id)
    with progress.task("agreement", len(candidates)) as advance:
        for item in candidates:
            runner = item.open(threads)
            parity = compare_logits(reference, runner.run_set(sample))
            runner.close()
            item.facts["agreement"] = parity.agreement
            is_same = np.isfinite(parity.max_abs) and parity.agreement >= _AGREEMENT
            reason = f"parity: {parity.agreement:.2%} of the labels are those of the FP32 form"
            item.facts["refused"] = None if is_same else reason
            advance(1)


def _time(
    candidates: list[Candidate],
    part: LabelledSet,
    threads: int,
    progress: Progress,
    clock: Clock,
) -> None:
    sample = head(part, _TEXTS)
    runners = {item.name: item.open(threads) for item in candidates}

    def run_all(name: str) -> None:
        runners[name].run_set(sample)

    with progress.task("throughput", 1) as advance:
        samples = time_interleaved(
            {name: (lambda name=name: run_all(name)) for name in runners},  # type: ignore[misc]  # default binds the loop's value
            rounds=3,
            clock=clock,
            probe=HostProbe(threads=threads, clock=clock),
        )
        advance(1)
    for item in candidates:
        runners[item.name].close()
        item.facts["texts_per_second"] = len(sample) / samples[item.name].median_s


def _answer(chosen: Candidate, part: LabelledSet, threads: int) -> Logits:
    runner = chosen.open(threads)
    logits = runner.run_set(part)
    runner.close()
    return logits


def _judge(
    floors: Sequence[Floor],
    part: LabelledSet,
    before: Answers,
    after: Answers,
    labels: LabelSet,
    *,
    seed: int,
) -> tuple[str, list[dict[str, Any]]]:
    verdicts = [
        judge(
            floor,
            truth=part.truth,
            original=before,
            candidate=after,
            labels=labels,
            rng=np.random.default_rng(seed),
        )
        for floor in floors
    ]
    told = [describe_floor(floor, item) for floor, item in zip(floors, verdicts, strict=True)]
    return overall(verdicts), told


def _rewrite(
    bundle: Bundle,
    state: State,
    chosen: Candidate,
    result: Mapping[str, Any],
    request: TuneRequest,
    threads: int,
) -> None:
    old = dict(bundle.manifest.quality)
    entry = {
        "test_digest": result["test_digest"],
        "n": result["n"],
        "candidate": chosen.name,
        "verdict": result["verdict"],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": "tune",
    }
    quality = {
        **old,
        "verdicts": result["floors"],
        "verdict": result["verdict"],
        "metrics": result["metrics"],
        "judgements": [*old.get("judgements", ()), entry],
    }
    names = (LAYOUT.report, LAYOUT.report_page, LAYOUT.card, LAYOUT.profile)
    documents = {
        name: (bundle.path / name).read_bytes() for name in names if (bundle.path / name).exists()
    }
    assemble_bundle(
        request.bundle,
        BundleParts(
            state=state,
            spec=chosen.spec,
            folder=chosen.folder,
            normal_label=bundle.manifest.normal_label,
            problem_type=bundle.manifest.problem_type,
            quality=quality,
            threads=threads,
            seed=request.seed,
            documents=documents,
            recipe=bundle.manifest.recipe,
        ),
    )
