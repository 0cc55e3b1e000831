from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from thinfer.errors import UserError
from thinfer.pipeline.request import CompressRequest, DataRequest, parse_speedups, parse_widths


def request(**changes: Any) -> CompressRequest:  # noqa: ANN401 - names of fields
    data = DataRequest(train=Path("a"), dev=Path("b"), test=Path("c"))
    return CompressRequest(**{"model": "m", "data": data, "out": Path("x/bundle"), **changes})


def test_widths_are_read_largest_first_and_once() -> None:
    assert parse_widths("1/2, 3/4,0.5,2/3") == (Fraction(3, 4), Fraction(2, 3), Fraction(1, 2))


@pytest.mark.parametrize("text", ["", "1", "0", "-1/2", "3/2", "half", "1/0", "1/2,,1/4", "nan"])
def test_widths_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="width cannot be read"):
        parse_widths(text)


def test_the_work_stands_beside_the_bundle() -> None:
    assert request().work == Path("x/bundle.work")


@pytest.mark.parametrize(
    "changes",
    [
        {"retrain": "forever"},
        {"precisions": ("int3",)},
        {"minutes": 0.0},
        {"minutes": -1.0},
        {"threads": 0},
    ],
)
def test_a_request_is_checked_before_any_work(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"is not known|is impossible"):
        request(**changes)


def test_speedups_are_read_once_each_smallest_first() -> None:
    assert parse_speedups("4, 1.5,2,4") == (1.5, 2.0, 4.0)


@pytest.mark.parametrize("text", ["", "1", "0.5", "two", "nan", "inf", "2,,3"])
def test_a_speedup_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="speed-up cannot be read"):
        parse_speedups(text)


def test_adaptive_training_does_not_go_with_speedups() -> None:
    assert request(retrain="adaptive").retrain == "adaptive"
    with pytest.raises(UserError, match="adaptive trains widths"):
        request(retrain="adaptive", speedups=(2.0,))


@pytest.mark.parametrize("changes", [{"augment": 1}, {"augment": -1, "retrain": "short"}])
def test_augmented_text_needs_retraining(changes: dict[str, Any]) -> None:
    assert request(augment=2, retrain="short").augment == 2
    with pytest.raises(UserError, match="for retraining"):
        request(**changes)
