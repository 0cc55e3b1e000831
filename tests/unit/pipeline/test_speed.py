"""Latencies that are foretold from the dense form's and the table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.support.toy_models import toy_architecture, toy_state
from thinfer.engine.base import EngineSpec, Precision
from thinfer.pipeline.candidate import Candidate, Form
from thinfer.pipeline.latency import BlockTimes, LatencyTable
from thinfer.pipeline.speed import predict_latencies

TIMES = BlockTimes(
    base=1e-3,
    layer=0.0,
    heads=(0.0, 4e-3),
    neurons=(0.0, 8e-3),
    last_heads=(0.0, 4e-3),
    last_neurons=(0.0, 8e-3),
)
TABLE = LatencyTable(
    engine="native",
    precision="int8",
    threads=1,
    hidden=16,
    head_size=4,
    head_widths=(0, 4),
    neuron_widths=(0, 32),
    lengths={"typical": (3,)},
    workloads={"typical": TIMES},
)


def make(
    name: str, ffn: int, precision: Precision = "int8", kept: tuple[str, ...] = ()
) -> Candidate:
    form = Form(state=name, engine="native", precision=precision, kept_fp32=kept)
    spec = EngineSpec(name="native", precision=precision, files=())
    state = toy_state(toy_architecture(((4, ffn), (4, ffn))))
    facts = {"latency_ms": 100.0}
    return Candidate(form=form, state=state, spec=spec, folder=Path("nowhere"), facts=facts)


def test_what_the_blocks_save_is_taken_from_the_dense_forms_latency() -> None:
    dense, narrow = make("dense", 32), make("width-1-2", 16)
    others = [make("width-1-4", 8, "fp32"), make("width-1-8", 4, kept=("layers.0.ffn",))]
    predict_latencies([dense, narrow, *others], TABLE)
    assert narrow.facts["predicted_latency_ms"] == pytest.approx(100.0 - 2 * 4.0)
    for item in (dense, *others):  # not priced by this table, or what the price is taken from
        assert item.facts["predicted_latency_ms"] is None


def test_without_a_table_or_a_dense_latency_nothing_is_foretold() -> None:
    dense, narrow = make("dense", 32), make("width-1-2", 16)
    predict_latencies([dense, narrow], None)
    assert narrow.facts["predicted_latency_ms"] is None
    bare = dataclasses.replace(dense, facts={})
    predict_latencies([bare, narrow], TABLE)
    assert narrow.facts["predicted_latency_ms"] is None
