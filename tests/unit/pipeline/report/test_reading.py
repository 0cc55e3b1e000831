from __future__ import annotations

from typing import Any

import pytest

from thinfer.pipeline.report.reading import (
    MetricKey,
    kind_of,
    metric_of,
    metrics_to_draw,
    read_floor,
    retention_of,
)


@pytest.mark.parametrize(
    ("expr", "title", "relative", "bound", "above"),
    [
        ("accuracy>=99.5%", "accuracy", True, 0.995, True),
        ("recall[spam]>=0.995", "recall[spam]", False, 0.995, True),
        ("flag_rate <= 105%", "flag_rate", True, 1.05, False),
        ("recall[a]b>=1]>=99%", "recall[a]b>=1]", True, 0.99, True),
    ],
)
def test_a_floor_is_read_from_its_expression(
    expr: str, title: str, relative: bool, bound: float, above: bool
) -> None:
    view = read_floor({"expr": expr})
    assert (view.key.title, view.relative, view.above) == (title, relative, above)
    assert view.bound == pytest.approx(bound)
    assert view.value is None


def test_a_relative_value_is_shown_as_a_ratio_and_an_absolute_one_as_it_is() -> None:
    body: dict[str, Any] = {"original": 0.8, "value": 0.6, "interval": [0.5, 0.7]}
    relative = read_floor({"expr": "accuracy>=99%", **body})
    assert relative.value == pytest.approx(0.75)
    assert relative.interval == pytest.approx((0.625, 0.875))
    absolute = read_floor({"expr": "accuracy>=0.5", **body})
    assert (absolute.value, absolute.interval) == (0.6, (0.5, 0.7))


def test_a_metric_of_a_row() -> None:
    metrics = {"accuracy": 0.9, "recall": {"a": 0.4, "b": 0.8}}
    assert metric_of(metrics, MetricKey(metric="accuracy")) == 0.9
    assert metric_of(metrics, MetricKey(metric="recall", label="b")) == 0.8
    assert metric_of(metrics, MetricKey(metric="recall")) == pytest.approx(0.6)
    assert metric_of(metrics, MetricKey(metric="recall", label="c")) is None
    assert metric_of(None, MetricKey(metric="accuracy")) is None


def test_retention_is_to_the_original_on_dev_and_never_on_test() -> None:
    key = MetricKey(metric="accuracy")
    original = {"dev_metrics": {"accuracy": 0.8}, "metrics": {"accuracy": 0.1}}
    row = {"dev_metrics": {"accuracy": 0.6}, "metrics": {"accuracy": 0.9}}
    assert retention_of(row, original, key) == pytest.approx(0.75)
    assert retention_of({}, original, key) is None
    assert retention_of(row, {"dev_metrics": {"accuracy": 0.0}}, key) is None
    agreement = {"dev_metrics": {"agreement": 0.99}}
    assert retention_of(agreement, original, MetricKey(metric="agreement")) == 0.99


def test_what_was_estimated_for_a_relative_floor_stands_before_what_was_counted() -> None:
    original = {"dev_metrics": {"accuracy": 0.8, "macro_f1": 0.8}}
    row = {
        "dev_metrics": {"accuracy": 0.88, "macro_f1": 0.4},
        "dev_estimates": [
            {"expr": "accuracy>=99.5%", "value": 0.997, "error": 0.002},
            {"expr": "macro_f1>=0.3", "value": 0.4, "error": 0.01},
        ],
    }
    assert retention_of(row, original, MetricKey(metric="accuracy")) == 0.997
    assert retention_of(row, original, MetricKey(metric="macro_f1")) == 0.5


def test_metrics_with_a_floor_come_first_and_once() -> None:
    views = [read_floor({"expr": text}) for text in ("macro_f1>=99%", "macro_f1>=0.5")]
    assert [key.title for key in metrics_to_draw(views)] == ["macro_f1", "accuracy"]


def test_an_early_drop_is_set_beside_the_original_on_its_own_rows() -> None:
    key = MetricKey(metric="accuracy")
    original = {"dev_metrics": {"accuracy": 0.9}}
    row = {"dev_metrics": {"accuracy": 0.8}, "original_dev_metrics": {"accuracy": 0.8}}
    assert retention_of(row, original, key) == 1.0


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"name": "a", "rung": 0, "refused": "dropped"}, "dropped"),
        ({"name": "a", "refused": None}, "chosen"),
        ({"name": "b", "refused": None}, "kept"),
        ({"name": "b", "refused": "on dev"}, "refused"),
    ],
)
def test_what_became_of_a_candidate(row: dict[str, object], kind: str) -> None:
    assert kind_of(row, "a") == kind
