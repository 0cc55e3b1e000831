"""A worn test set: chance has as many tries as there were candidates."""

from __future__ import annotations

import numpy as np
import pytest

from thinfer.errors import UserError
from thinfer.quality.paired import bound_loss
from thinfer.quality.reuse import Reuse


@pytest.mark.parametrize("judged", [1, 2, 4])
def test_a_set_that_was_asked_little_gives_no_warning(judged: int) -> None:
    assert Reuse(judged).explain() is None
    assert Reuse(judged).error == pytest.approx(0.05 * judged)


@pytest.mark.parametrize(("judged", "left"), [(5, "75% confidence"), (19, "5% confidence")])
def test_a_worn_set_says_how_often_and_what_is_left(judged: int, left: str) -> None:
    said = Reuse(judged).explain() or ""
    assert f"{judged} different candidates" in said
    assert left in said


def test_after_twenty_judgements_nothing_is_left_and_never_less() -> None:
    for judged in (20, 1000):
        assert Reuse(judged).confidence == 0
        assert "no confidence is left" in (Reuse(judged).explain() or "")


def test_a_set_that_judged_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="judged nothing"):
        Reuse(0)


def test_the_best_of_many_at_the_floor_is_called_holds_too_often_but_within_the_bound() -> None:
    rng = np.random.default_rng(0)
    trials, floor, sets = 3000, 0.02, 2000
    most = max(b for b in range(200) if bound_loss(b, 0, trials) <= floor)
    held = rng.binomial(trials, floor, size=(sets, 20)) <= most  # candidates exactly at the floor
    for judged in (1, 5, 10):
        wrong = held[:, :judged].any(axis=1).mean()
        assert wrong <= Reuse(judged).error
    assert held[:, :10].any(axis=1).mean() > 0.15  # the warning is about something
