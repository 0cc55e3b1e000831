from __future__ import annotations

import re

import pytest

from tests.support.sample_result import sample_result
from thinfer.pipeline.report.bars import draw_factors, draw_floor, draw_layers
from thinfer.pipeline.report.reading import read_floor


def _left(markup: str, kind: str) -> float:
    found = re.search(rf'class="{kind}" style="left:([\d.-]+)%', markup)
    return float(found[1]) if found else -1.0


def test_the_dot_lies_on_the_side_of_the_floor_that_its_value_says() -> None:
    body = {"expr": "accuracy>=99%", "original": 1.0, "interval": [0.97, 1.0], "verdict": "holds"}
    good, bad = (draw_floor(read_floor({**body, "value": value})) for value in (0.995, 0.98))
    assert _left(good, "dot") > _left(good, "bound")
    assert _left(bad, "dot") < _left(bad, "bound")


def test_a_floor_that_was_not_judged_has_no_bar() -> None:
    assert draw_floor(read_floor({"expr": "accuracy>=99%"})) == ""


def test_an_interval_without_width_still_draws() -> None:
    body = {"expr": "accuracy>=0.5", "value": 0.5, "original": 0.5, "verdict": "holds"}
    assert _left(draw_floor(read_floor(body)), "dot") == pytest.approx(50.0)


def test_each_factor_starts_where_the_last_one_ended_and_a_loss_runs_backwards() -> None:
    factors = [{"name": "engine", "factor": 4.0}, {"name": "depth", "factor": 0.5}]
    markup = draw_factors(factors, 2.0)
    boxes = re.findall(r'<i class="(\w+)" style="left:([\d.]+)%;width:([\d.]+)%', markup)
    assert boxes == [
        ("gain", "0.00", "100.00"),
        ("loss", "50.00", "50.00"),
        ("total", "0.00", "50.00"),
    ]


def test_a_factor_of_one_is_neither_gain_nor_loss() -> None:
    assert 'class="none"' in draw_factors([{"name": "vocabulary", "factor": 1.0}], None)


def test_layers_show_what_is_left_and_a_dropped_block_is_named() -> None:
    result = sample_result()
    markup = draw_layers(result["original"]["architecture"], result["chosen"]["architecture"])
    assert "8 of 12" in markup
    assert "none of 12" in markup
    assert draw_layers({}, {}) == ""
