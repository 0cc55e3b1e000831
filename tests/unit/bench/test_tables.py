"""Rows say what was measured; the ratio is the baseline's time over the row's."""

from __future__ import annotations

import numpy as np
import pytest

from thinfer.bench.contender import Contender
from thinfer.bench.tables import COLUMNS, make_rows, to_cells
from thinfer.measure.timing import Samples
from thinfer.measure.workload import Workload


def contender(name: str) -> Contender:
    return Contender(
        name=name, engine="fake", precision="fp32", threads=1, run=len, close=lambda: None
    )


def samples(*seconds: float, rounds: tuple[int, ...] | None = None) -> Samples:
    return Samples(
        seconds=seconds,
        rounds=rounds or tuple(range(len(seconds))),
        dropped=1,
        is_disturbed=False,
    )


def rows_of(workload: Workload, timed: dict[str, Samples]) -> dict[str, dict[str, object]]:
    rows = make_rows(
        [contender(name) for name in timed],
        timed,
        workload,
        baseline="slow",
        warmups=1,
        rng=np.random.default_rng(0),
    )
    return {str(row["name"]): row for row in rows}


def test_ratio_and_throughput_of_one_shape() -> None:
    workload = Workload(name="4x8", batches=(("a",) * 4,))
    rows = rows_of(workload, {"fast": samples(*[0.01] * 6), "slow": samples(*[0.04] * 6)})
    assert rows["fast"]["ratio"] == 4.0
    assert rows["fast"]["ratio_interval"] == [4.0, 4.0]
    assert rows["fast"]["is_separable"] is True
    assert rows["slow"]["ratio_interval"] == [1.0, 1.0]
    assert rows["slow"]["is_separable"] is False
    assert rows["fast"]["texts_per_second"] == pytest.approx(400)
    assert rows["fast"]["ms_median"] == 10
    assert (rows["fast"]["samples"], rows["fast"]["dropped"]) == (6, 1)


def test_texts_of_the_rounds_that_were_kept_are_counted() -> None:
    # Batches of 3 and 1 texts; the warm-up ran the first, so round 0 ran the second.
    workload = Workload(name="corpus", batches=(("a", "b", "c"), ("d",)))
    rows = rows_of(workload, {"slow": samples(1.0, 1.0, rounds=(0, 2))})
    assert rows["slow"]["texts_per_second"] == 1.0
    rows = rows_of(workload, {"slow": samples(1.0, 1.0, rounds=(1, 3))})
    assert rows["slow"]["texts_per_second"] == 3.0


def test_a_corpus_is_added_up_and_not_ranked() -> None:
    # Nine short batches at equal speed and one long one that is ten times faster: the median
    # of the ratios would see nothing.
    workload = Workload(name="corpus", batches=(("a",), ("b",)))
    slow = samples(*[0.01] * 9, 10.0)
    fast = samples(*[0.01] * 9, 1.0)
    ratio = rows_of(workload, {"fast": fast, "slow": slow})["fast"]["ratio"]
    assert isinstance(ratio, float)
    assert ratio > 9


def test_cells_have_a_column_each_and_tell_of_a_disturbed_host() -> None:
    workload = Workload(name="1x4", batches=(("a",),))
    row = rows_of(workload, {"slow": samples(0.5)})["slow"]
    assert len(to_cells(row)) == len(COLUMNS)
    assert "disturbed" in to_cells({**row, "is_disturbed": True})[-1]
