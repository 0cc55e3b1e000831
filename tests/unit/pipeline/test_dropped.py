"""Rows of states without a form: what they say, and the speed that was to be expected."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.toy_models import toy_state
from thinfer.pipeline.dropped import describe_missed, predict_speedups
from thinfer.quality.labels import LabelSet


def make_job() -> Any:  # noqa: ANN401 - stands in for a run
    class Dev:
        truth = np.array([0, 1, 2, 0, 1, 2])

        def __len__(self) -> int:
            return 6

    return SimpleNamespace(
        sets=SimpleNamespace(dev=Dev()),
        original_dev=np.array([0, 1, 2, 0, 0, 0]),
        labels=LabelSet(("a", "b", "c")),
    )


def test_a_row_sets_its_answers_beside_the_originals_on_the_same_rows() -> None:
    rows = np.array([1, 4, 5])
    row = describe_missed(
        make_job(), "x", toy_state(), answers=np.array([1, 1, 0]), reason="slow", rows=rows
    )
    assert (row["name"], row["refused"], row["dev_rows"]) == ("x", "slow", 3)
    assert row["dev_metrics"]["accuracy"] == pytest.approx(2 / 3)
    assert row["original_dev_metrics"]["accuracy"] == pytest.approx(1 / 3)
    assert row["max_length"] == toy_state().max_length


def test_without_rows_all_of_dev_was_answered() -> None:
    row = describe_missed(make_job(), "x", toy_state(), answers=np.zeros(6, int), reason="slow")
    assert row["dev_rows"] == 6


def form(precision: str, speedup: float | None) -> Any:  # noqa: ANN401 - stands in for a candidate
    return SimpleNamespace(
        form=SimpleNamespace(engine="onnxruntime", precision=precision), facts={"speedup": speedup}
    )


@pytest.mark.parametrize(("priced", "expected"), [("int8", 8.0), ("fp32", 4.0), (None, 4.0)])
def test_the_speedup_is_taken_from_the_form_that_the_table_prices(
    priced: str | None, expected: float
) -> None:
    table: Any = priced and SimpleNamespace(engine="onnxruntime", precision=priced)
    rows: list[dict[str, Any]] = [{"predicted_ratio": 2.0}, {"predicted_ratio": None}]
    predict_speedups(rows, [form("fp32", 2.0), form("int8", 4.0)], table)
    assert [row["predicted_speedup"] for row in rows] == [expected, None]


def test_what_was_never_timed_predicts_nothing() -> None:
    rows: list[dict[str, Any]] = [{"predicted_ratio": 2.0}]
    predict_speedups(rows, [form("fp32", None)], None)
    assert rows[0]["predicted_speedup"] is None
