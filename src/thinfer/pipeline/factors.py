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
from thinfer.pipeline.states import StateTrial, cut_blocks_only

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
    dense = tried[0][1]
    form, precision = chosen.form, chosen.form.precision
    grouped = build_plain(job.workspace, "split-by-length", original.state, grouping="length")
    chain: list[Link] = [
        ("length handling", grouped, "each batch is split by length, so little is padded")
    ]
    cut = build_plain(job.workspace, "cut-embeddings", dense.state, grouping="length")
    rows = (original.state.architecture.vocab, dense.state.architecture.vocab)
    chain.append(("vocabulary", cut, f"{rows[0]:,} → {rows[1]:,} token rows"))
    middle = _form(job, dense, replace(form, state=dense.name, precision="fp32"), tried)
    chain.append(("engine", middle, f"ONNX Runtime's own optimisation → {form.engine}, FP32"))
    lower = _form(job, dense, replace(form, state=dense.name), tried)
    chain.append(("precision", lower, f"FP32 → {precision.upper()}"))
    blocks = cut_blocks_only(dense.state, trial.state)
    if blocks is not None:
        emptied = StateTrial(name=f"{trial.name}-blocks", state=blocks, logits=None, missed=())
        shallow = _form(job, emptied, replace(form, state=emptied.name), ())
        chain.append(("depth", shallow, _describe_depth(trial)))
    chain.append(("width", chosen, _describe_width(dense, trial)))
    distinct = {item.name: item for _, item, _ in chain if item is not None}
    measure_speeds(job, original, list(distinct.values()), rounds=2)
    return _ratios(chain)


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
    if not any(name == "depth" for name, _, _ in chain):
        factors.insert(-1, {"name": "depth", "factor": 1.0, "detail": "no block left out"})
    return factors


def _describe_depth(trial: StateTrial) -> str:
    layers = trial.state.architecture.layers
    attention = sum(layer.heads == 0 for layer in layers)
    ffn = sum(layer.ffn == 0 for layer in layers)
    return f"{attention} attention and {ffn} FFN blocks left out"


def _describe_width(dense: StateTrial, trial: StateTrial) -> str:
    wide, narrow = dense.state.architecture.layers, trial.state.architecture.layers
    heads = f"{sum(x.heads for x in wide)} → {sum(x.heads for x in narrow)} heads"
    neurons = f"{sum(x.ffn for x in wide):,} → {sum(x.ffn for x in narrow):,} neurons"
    sizes = [(x.qk_size, x.value_size) for x in wide], [(x.qk_size, x.value_size) for x in narrow]
    smaller = sum(size not in sizes[0] for size in sizes[1])
    note = f", smaller heads in {smaller} layers" if smaller else ""
    return f"{heads}, {neurons}{note}"
