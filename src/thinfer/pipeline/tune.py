"""`tune`: measure a bundle's engines again on this machine, and prove its floors again."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle import LAYOUT, Bundle, open_bundle
from thinfer.compress.state import State
from thinfer.core.clock import Clock
from thinfer.core.cores import usable_cores
from thinfer.core.progress import Progress
from thinfer.engine.registry import available_engines
from thinfer.errors import EngineError
from thinfer.export.parity import compare_logits
from thinfer.export.write import EXPORTERS, ExportRequest, write_engine
from thinfer.measure.probe import HostProbe
from thinfer.measure.timing import time_interleaved
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.candidate import Candidate, Form, describe_candidate
from thinfer.pipeline.data import LabelledSet, head
from thinfer.pipeline.evidence import encode_evidence
from thinfer.pipeline.finish import BundleParts, assemble_bundle
from thinfer.pipeline.judge_again import Rejudgement, judge_again, match_test
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
        judgement_log: where judgements are remembered between runs; None = nowhere.
    """

    bundle: Path
    test: Corpus
    calibrate: Corpus | None = None
    threads: int | None = None
    seed: int = 0
    judgement_log: Path | None = None


def tune(request: TuneRequest, *, progress: Progress, clock: Clock) -> dict[str, Any]:
    """Choose the fastest engine here that still answers as the bundle does, and judge it once.

    Labels take no part in the choice. The bundle is rewritten unless a floor is broken.

    Args:
        request: what to do.
        progress: told of the work.
        clock: times it.

    Returns:
        `bundle`, `verdict`, `floors`, `chosen`, `candidates`, `metrics`, `classes`, `calibration`,
        `n`, `test_digest`, `is_rewritten`, `has_evidence`, `test_use`, `warnings`.

    Raises:
        EngineError: no engine here answers as the bundle does.
    """
    bundle = open_bundle(request.bundle)
    judged = match_test(bundle, request.test, bundle.manifest.label_set)
    part = judged.part
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
        again = judge_again(
            bundle,
            judged,
            _run(chosen, part, threads),
            name=chosen.name,
            seed=request.seed,
            log=request.judgement_log,
        )
        result = {
            "bundle": str(request.bundle),
            "chosen": chosen.facts,
            "candidates": [item.facts for item in candidates],
            "is_rewritten": again.verdict != "broken",
            **again.result,
        }
        if result["is_rewritten"]:
            _rewrite(bundle, state, chosen, again, request, threads)
        return result


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
        is_multi_label=manifest.problem_type == "multi_label_classification",
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
            logits = runner.run_set(sample)
            parity = compare_logits(reference, logits, is_multi_label=state.is_multi_label)
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


def _run(chosen: Candidate, part: LabelledSet, threads: int) -> NDArray[np.float32]:
    runner = chosen.open(threads)
    logits = runner.run_set(part)
    runner.close()
    return logits


def _rewrite(
    bundle: Bundle,
    state: State,
    chosen: Candidate,
    again: Rejudgement,
    request: TuneRequest,
    threads: int,
) -> None:
    old = dict(bundle.manifest.quality)
    quality = {
        **old,
        "verdicts": again.result["floors"],
        "verdict": again.result["verdict"],
        "metrics": again.result["metrics"],
        "seed": request.seed,
        "test_use": again.result["test_use"],
        "judgements": [*old.get("judgements", ()), again.entry],
    }
    names = (LAYOUT.report, LAYOUT.report_page, LAYOUT.card, LAYOUT.profile)
    documents = {
        name: (bundle.path / name).read_bytes() for name in names if (bundle.path / name).exists()
    }
    if again.evidence is not None:
        documents[LAYOUT.evidence] = encode_evidence(again.evidence)
    assemble_bundle(
        request.bundle,
        BundleParts(
            state=state,
            spec=chosen.spec,
            folder=chosen.folder,
            normal_label=bundle.manifest.normal_label,
            problem_type=bundle.manifest.problem_type,
            point=bundle.manifest.operating,
            quality=quality,
            threads=threads,
            seed=request.seed,
            documents=documents,
            recipe=bundle.manifest.recipe,
        ),
    )
