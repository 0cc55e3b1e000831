import dataclasses
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_job import small_job
from thinfer.core.clock import ManualClock


def test_without_a_deadline_there_is_no_end_and_no_search_in_rungs(tmp_path: Path) -> None:
    job = dataclasses.replace(small_job(tmp_path), deadline_s=None)
    assert job.minutes_left() == math.inf
    assert not job.is_explored


def test_minutes_left_fall_but_never_to_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    job = dataclasses.replace(small_job(tmp_path), clock=clock, deadline_s=120.0)
    assert job.minutes_left() == 2.0
    clock.advance(500)
    assert job.minutes_left() == pytest.approx(1 / 60)  # a training needs some limit above 0


@pytest.mark.parametrize("named", [{"widths": (Fraction(1, 2),)}, {"speedups": (2.0,)}, {}])
def test_what_the_user_names_is_not_searched(tmp_path: Path, named: dict[str, Any]) -> None:
    assert small_job(tmp_path, **named).is_explored == (not named)
