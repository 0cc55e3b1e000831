"""What length handling, vocabulary, engine, precision, depth and width each contributed.

A chain of forms from the original to the chosen one, each one change further, all timed in one
interleaved run; a factor is the ratio of two neighbours. What did not change is 1 by definition
and is not timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from thinfer.errors import EngineError
from thinfer.pipeline.candidate import Candidate, Form, build_candidate
from thinfer.pipeline.job import Job
from thinfer.pipeline.original import build_plain
from thinfer.pipeline.speed import measure_speeds
from thinfer.pipeline.states import StateTrial, cut_blocks_only, dropped_layers

__all__ = ["measure_factors"]

Link = tuple[str, Candidate | None, str]  # what changed, the form after it, in words


def measure_factors(
    job: Job,
    original: Candidate,
    chosen: Candidate,
    trial: StateTrial,
    tried: Sequence[tuple[Candidate, StateTrial]],
) -> list[dict[str, Any]]:
    """Time the chain from the original to the chosen candidate.

    Args:
        job: the run.
        original: the model as it was brought.
        chosen: the candidate that `dev` chose; its final speed is measured here too.
        trial: the state that it came from.
        tried: all candidates; the first one's state is the dense one.

    Returns:
        `name`, `factor` and `detail` for each step of the chain.
    """
    whole = trial.base or trial  # the same state without its limit on the text
    dense = whole.root or tried[0][1]
    form, precision = chosen.form, chosen.form.precision
    grouped = build_plain(job.workspace, "split-by-length", original.state, grouping="length")
    chain: list[Link] = [
        ("length handling", grouped, "each batch is split by length, so little is padded")
    ]
    cut = build_plain(job.workspace, "cut-embeddings", dense.state, grouping="length")
    rows = (original.state.architecture.vocab, dense.state.architecture.vocab)
    chain.append(("vocabulary", cut, f"{rows[0]:,} → {rows[1]:,} token rows"))
    exact = replace(form, state=dense.name, precision="fp32", kept_fp32=())
    middle = _form(job, dense, exact, tried)
    chain.append(("engine", middle, f"ONNX Runtime's own optimisation → {form.engine}, FP32"))
    lower = _form(job, dense, replace(form, state=dense.name), tried)
    kept = f", {len(form.kept_fp32)} blocks stay in FP32" if form.kept_fp32 else ""
    chain.append(("precision", lower, f"FP32 → {precision.upper()}{kept}"))
    blocks = cut_blocks_only(dense.state, whole.state)  # None of a student as well
    if blocks is not None:
        emptied = StateTrial(name=f"{whole.name}-blocks", state=blocks, logits=None, missed=())
        shallow = _form(job, emptied, replace(form, state=emptied.name), ())
        chain.append(("depth", shallow, _describe_depth(whole)))
    last = chosen if whole is trial else _form(job, whole, replace(form, state=whole.name), tried)
    chain.append(_describe_blocks(dense, whole, last))
    if whole is not trial:
        chain.append(("max length", chosen, _describe_length(job, whole, trial)))
    distinct = {item.name: item for _, item, _ in chain if item is not None}
    told, before = chosen.facts.get("predicted_latency_ms"), _latency_of(lower)
    measure_speeds(job, original, list(distinct.values()), rounds=2)
    if told is not None and before is not None and (now := _latency_of(lower)) is not None:
        # What was foretold in another hour, by what the dense form takes in this one.
        chosen.facts["predicted_latency_ms"] = told * now / before
    return _ratios(chain)


def _latency_of(item: Candidate | None) -> float | None:
    return None if item is None else item.facts.get("latency_ms")


def _form(
    job: Job,
    trial: StateTrial,
    form: Form,
    tried: Sequence[tuple[Candidate, StateTrial]],
) -> Candidate | None:
    """Give a form that the search has made, or make it; None where the engine cannot take it."""
    for candidate, _ in tried:
        if candidate.form == form:
            return candidate
    calibration = job.calibration(trial.state.tokenizer)
    try:
        return build_candidate(job.workspace, form, trial.state, calibration)
    except EngineError:
        return None


def _ratios(chain: Sequence[Link]) -> list[dict[str, Any]]:
    """Give the ratio of each form to the one before; what could not be timed goes to the next."""
    before, factors = 1.0, []
    for name, candidate, detail in chain:
        is_timed = candidate is not None and "speedup" in candidate.facts
        speedup = float(candidate.facts["speedup"]) if candidate and is_timed else before
        note = "" if is_timed else "; cannot be timed by itself, so it is in the next factor"
        factors.append({"name": name, "factor": speedup / before, "detail": f"{detail}{note}"})
        before = speedup
    names = [name for name, _, _ in chain]
    if "depth" not in names and "width" in names:
        place = names.index("width")
        factors.insert(place, {"name": "depth", "factor": 1.0, "detail": "no block left out"})
    return factors


def _describe_depth(trial: StateTrial) -> str:
    layers = trial.state.architecture.layers
    attention = sum(layer.heads == 0 for layer in layers)
    ffn = sum(layer.ffn == 0 for layer in layers)
    dropped = len(dropped_layers(trial.state))
    words = f"whole layers left out: {dropped}; " if dropped else ""
    return f"{words}{attention} attention and {ffn} FFN blocks left out"


def _describe_length(job: Job, whole: StateTrial, trial: StateTrial) -> str:
    before, after = whole.state.max_length, trial.state.max_length
    cut = int(job.sets.dev.encode(trial.state.tokenizer).truncated.sum())
    return f"at most {before:,} → {after:,} tokens of a text; {cut:,} dev texts are cut"


def _describe_blocks(dense: StateTrial, trial: StateTrial, last: Candidate | None) -> Link:
    if not any(report.step == "student" for report in trial.state.history):
        return "width", last, _describe_width(dense, trial)
    sizes = [
        f"{len(each.state.architecture.layers)} × {each.state.architecture.hidden}"
        for each in (dense, trial)
    ]
    return "size", last, f"{sizes[0]} → {sizes[1]} layers × hidden, distilled"


def _describe_width(dense: StateTrial, trial: StateTrial) -> str:
    wide, narrow = dense.state.architecture.layers, trial.state.architecture.layers
    heads = f"{sum(x.heads for x in wide)} → {sum(x.heads for x in narrow)} heads"
    neurons = f"{sum(x.ffn for x in wide):,} → {sum(x.ffn for x in narrow):,} neurons"
    sizes = [(x.qk_size, x.value_size) for x in wide], [(x.qk_size, x.value_size) for x in narrow]
    smaller = sum(size not in sizes[0] for size in sizes[1])
    note = f", smaller heads in {smaller} layers" if smaller else ""
    return f"{heads}, {neurons}{note}"
