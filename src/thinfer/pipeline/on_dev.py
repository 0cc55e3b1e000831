"""What `dev` says of a candidate: parity with its torch form, quality, size, peak memory."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import count_cost
from thinfer.core.codec import to_json
from thinfer.core.files import write_atomic
from thinfer.errors import EngineError
from thinfer.export.parity import compare_logits, require_parity
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.footprint import measure_footprint
from thinfer.pipeline.job import Answers, Job
from thinfer.pipeline.sparsity import describe_sparsity
from thinfer.pipeline.states import StateTrial
from thinfer.pipeline.workspace import keep_array, keep_json

__all__ = ["describe_candidate_cost", "describe_reference", "judge_on_dev"]

_LENGTH_SAMPLE = 256  # texts whose mean length stands for all of them

# How far an exported form may lie from its own torch form: logits, and share of equal labels.
# INT8 has no bound on a logit; what it costs in quality is judged by the floor, and below this
# agreement it is not the same model any more (INT8 without VNNI saturates on some CPUs).
_PARITY = {"fp32": (1e-3, 0.999), "bf16": (float("inf"), 0.97), "int8": (float("inf"), 0.90)}


def describe_candidate_cost(job: Job, candidate: Candidate) -> None:
    """Fill in what is known of a candidate without running a text through it.

    Args:
        job: the run.
        candidate: written; its `facts` are filled.
    """
    shape = candidate.state.architecture
    sample = job.sets.dev.encode(candidate.state.tokenizer, slice(_LENGTH_SAMPLE)).batch
    length = max(1, round(float(sample.lengths.mean())))
    candidate.facts.update(
        name=candidate.name,
        state=candidate.form.state,
        engine=candidate.form.engine,
        precision=candidate.form.precision,
        kept_fp32=list(candidate.form.kept_fp32),
        architecture=to_json(shape),
        max_length=candidate.state.max_length,
        macs=count_cost(shape, length=length).macs,
        size_bytes=candidate.size_bytes if candidate.folder.exists() else None,
        steps=[to_json(report) for report in candidate.state.history],
        dev_metrics=None,
        peak_rss_bytes=None,
        refused=None,
        sparsity=describe_sparsity(candidate),
    )


def describe_reference(job: Job, candidate: Candidate) -> None:
    """Fill the facts of a form of the original: its answers on `dev` are known.

    Args:
        job: the run.
        candidate: the original, or the baseline.
    """
    describe_candidate_cost(job, candidate)
    candidate.facts["dev_metrics"] = job.measure(job.sets.dev, job.original_dev)
    candidate.facts["peak_rss_bytes"] = _peak_of(job, candidate)


def _peak_of(job: Job, candidate: Candidate) -> int:
    stored = candidate.folder / "peak.json"
    return int(keep_json(stored, lambda: measure_footprint(candidate.folder, job.threads)))


def judge_on_dev(job: Job, candidate: Candidate, trial: StateTrial) -> None:
    """Fill a candidate's facts: parity, quality on `dev`, size and peak memory.

    Args:
        job: the run.
        candidate: written and not yet measured; its `facts` are filled.
        trial: the state that it came from.
    """
    describe_candidate_cost(job, candidate)
    try:
        answers = _answers_on_dev(job, candidate, trial)
        candidate.facts["peak_rss_bytes"] = _peak_of(job, candidate)
    except EngineError as error:
        candidate.facts["refused"] = f"parity: {error}"
        return
    candidate.facts["dev_metrics"] = job.measure(job.sets.dev, answers)
    candidate.facts["dev_estimates"] = estimates = job.estimate_floors(answers)
    missed = job.missed_floors(answers)
    if missed:
        known = {
            item["expr"]: f" (estimated {item['value']:.2%} ± {item['error']:.2%})"
            for item in estimates
        }
        names = ", ".join(f"{expr}{known.get(expr, '')}" for expr in missed)
        candidate.facts["refused"] = f"on dev, {names} is not cleared by one standard error"


def _answers_on_dev(job: Job, candidate: Candidate, trial: StateTrial) -> Answers:
    """Run `dev` through the engine, or read what an earlier run stored, and check parity."""
    timed = candidate.folder / "dev_texts_per_second.json"

    def run() -> NDArray[np.float32]:
        runner = candidate.open(job.threads)
        started = job.clock.monotonic()
        try:
            logits = runner.run_set(job.sets.dev)
        finally:
            runner.close()
        seconds = max(job.clock.monotonic() - started, 1e-9)
        write_atomic(timed, json.dumps(len(job.sets.dev) / seconds))
        return logits

    logits = keep_array(candidate.folder / "dev.npy", run)
    candidate.facts["dev_texts_per_second"] = json.loads(timed.read_text())
    parity = compare_logits(trial.logits, logits, is_multi_label=trial.state.is_multi_label)
    bound, agreement = _PARITY[candidate.form.precision]
    candidate.facts["parity"] = {
        "max_abs": parity.max_abs if np.isfinite(parity.max_abs) else None,
        "label_flips": len(parity.label_flips),
        "rows": parity.rows,
    }
    keep_json(candidate.folder / "flips.json", lambda: list(parity.label_flips))
    require_parity(parity, bound=bound, min_agreement=agreement, name=candidate.name)
    return job.answers(logits)
