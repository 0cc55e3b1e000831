"""Latencies that are foretold from the table and the other forms'."""

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


def test_with_few_forms_the_dense_ones_latency_is_shared_by_the_tables_seconds() -> None:
    dense, narrow = make("dense", 32), make("width-1-2", 16)
    others = [make("width-1-4", 8, "fp32"), make("width-1-8", 4, kept=("layers.0.ffn",))]
    predict_latencies([dense, narrow, *others], TABLE)
    assert narrow.facts["predicted_latency_ms"] == pytest.approx(100.0 * 17 / 25)
    for item in (dense, *others):  # not priced by this table, or what the price is taken from
        assert item.facts["predicted_latency_ms"] is None


def test_with_several_forms_the_others_give_the_line_from_prices_to_latencies() -> None:
    widths = (32, 24, 16, 8)
    forms = [make(f"width-{ffn}", ffn) for ffn in widths]
    prices = [9.0 + 16.0 * ffn / 32 for ffn in widths]  # milliseconds, by the table
    for form, price in zip(forms, prices, strict=True):
        form.facts["latency_ms"] = 3.0 + 0.5 * price
    forms[2].facts["latency_ms"] *= 1.5  # its own measurement does not help to foretell it
    predict_latencies(forms, TABLE)
    assert forms[0].facts["predicted_latency_ms"] is None
    assert forms[2].facts["predicted_latency_ms"] == pytest.approx(3.0 + 0.5 * prices[2])


def test_forms_of_nearly_the_same_price_count_most() -> None:
    widths = (32, 12, 10, 8, 6)
    forms = [make(f"width-{ffn}", ffn) for ffn in widths]
    for form, ffn in zip(forms, widths, strict=True):
        form.facts["latency_ms"] = 9.0 + 16.0 * ffn / 32
    forms[0].facts["latency_ms"] *= 0.5  # the dense form shares a text out among threads
    predict_latencies(forms, TABLE)
    even = 12.98  # what a line through all the others alike gives of the third form's 14 ms
    assert even + 0.2 < forms[2].facts["predicted_latency_ms"] < 14.0


def test_a_line_that_falls_is_noise_and_no_latency_is_below_zero() -> None:
    forms = [make(f"width-{ffn}", ffn) for ffn in (32, 24, 16, 8)]
    for form, latency in zip(forms, (10.0, 11.0, 12.0, 13.0), strict=True):
        form.facts["latency_ms"] = latency
    predict_latencies(forms, TABLE)
    assert forms[3].facts["predicted_latency_ms"] == pytest.approx(10.0 * 13 / 25)


def test_without_a_table_or_a_dense_latency_nothing_is_foretold() -> None:
    dense, narrow = make("dense", 32), make("width-1-2", 16)
    predict_latencies([dense, narrow], None)
    assert narrow.facts["predicted_latency_ms"] is None
    bare = dataclasses.replace(dense, facts={})
    predict_latencies([bare, narrow], TABLE)
    assert narrow.facts["predicted_latency_ms"] is None
