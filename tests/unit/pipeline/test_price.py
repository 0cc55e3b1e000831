"""Measuring a latency table in the real engine, on a shape small enough for a test."""

import numpy as np
import pytest

from tests.support.toy_models import toy_architecture
from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress
from thinfer.errors import UserError
from thinfer.pipeline.latency import LatencyTable
from thinfer.pipeline.price import TableRequest, measure_table

pytest.importorskip("onnxruntime", reason="the table is measured in an engine")

LENGTHS = np.array([4, 6, 8, 12, 12, 10], dtype=np.int64)


def measure(
    layers: tuple[tuple[int, int], ...],
    *,
    head_sizes: tuple[int, ...] = (),
    engine: str = "onnxruntime",
    threads: int = 1,
) -> LatencyTable:
    request = TableRequest(
        architecture=toy_architecture(layers),
        head_sizes=head_sizes,
        engine=engine,
        precision="int8",
        options={"parallel": "groups"} if engine == "onnxruntime" else {},
        threads=threads,
        lengths=LENGTHS,
    )
    return measure_table(
        request, rng=np.random.default_rng(0), progress=SilentProgress(), clock=SystemClock()
    )


def test_a_table_has_rising_prices_from_nothing_to_all() -> None:
    table = measure(((4, 32), (4, 32)))
    assert (table.head_widths, table.neuron_widths) == ((0, 1, 2, 3, 4), (0, 1, 4, 8, 16, 24, 32))
    assert set(table.workloads) == {"short", "typical", "long", "batch"}
    assert len(table.lengths["batch"]) == 64
    assert set(table.lengths["batch"]) <= set(LENGTHS.tolist())
    for times in table.workloads.values():
        assert times.base > 0
        for prices in (times.heads, times.neurons, times.last_heads, times.last_neurons):
            assert prices[0] >= 0
            assert list(prices) == sorted(prices)
    table.check_fits(toy_architecture(((4, 32), (4, 32))), threads=1)


def test_the_native_engine_is_timed_with_and_without_sharing_a_text() -> None:
    reason = "the native engine was not compiled"
    native = pytest.importorskip("thinfer.engine._native", reason=reason)
    table = measure(((4, 32), (4, 32)), engine="native", threads=2)
    assert set(table.workloads) == {"short", "typical", "long", "batch"}
    assert set(table.shared) == {"short", "typical", "long"}
    assert table.shared_from == native.SHARED_WORK
    assert not measure(((4, 32),), engine="native").shared


def test_smaller_heads_are_measured_where_they_are_asked_for() -> None:
    assert measure(((1, 8), (1, 8))).head_sizes == ()
    table = measure(((3, 8), (3, 8)), head_sizes=(1, 2))
    assert (table.head_sizes, table.sized_widths) == ((1, 2), (0, 1, 3))
    for times in table.workloads.values():
        assert len(times.sized) == 2
        for sized in times.sized:
            for prices in (sized.qk, sized.values, sized.last_qk, sized.last_values):
                assert len(prices) == 3
                assert list(prices) == sorted(prices)
    table.check_sizes((1, 2))


def test_layers_of_different_shapes_are_refused() -> None:
    with pytest.raises(UserError, match="alike"):
        measure(((4, 32), (2, 32)))
