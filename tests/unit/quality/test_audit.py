from __future__ import annotations

import math

import pytest

from thinfer.quality.audit import AuditCounts, Stratum
from thinfer.quality.paired import bound_growth, bound_loss


def whole(population: int, found: int, missing: int = 0) -> Stratum:
    return Stratum(population=population, asked=population, missing=missing, found=found)


def part(population: int, asked: int, found: int, missing: int = 0) -> Stratum:
    return Stratum(population=population, asked=asked, missing=missing, found=found)


def test_with_every_row_labelled_the_whole_error_goes_to_the_traffic() -> None:
    counts = AuditCounts(lost=whole(10, 4), gained=whole(5, 2), kept=whole(900, 700))
    assert counts.trials == 704
    assert counts.retention == pytest.approx(1 - 2 / 704)
    assert counts.retention_low() == 1 - bound_loss(4, 2, 704)
    assert counts.retention_high() == 1 + bound_growth(2, 4, 704)


def test_a_sample_costs_half_of_the_error_and_a_smaller_one_more_width() -> None:
    lows = []
    for asked in (899, 200, 50, 10):
        kept = part(900, asked, asked * 7 // 9)
        lows.append(AuditCounts(lost=whole(10, 4), gained=whole(0, 0), kept=kept).retention_low())
    assert lows == sorted(lows, reverse=True)
    assert lows[0] <= 1 - bound_loss(4, 0, 704, 0.975)


def test_a_sample_of_the_differing_rows_gives_each_side_its_worst_end() -> None:
    kept = whole(900, 700)
    all_of_them = AuditCounts(lost=whole(40, 20), gained=whole(40, 20), kept=kept)
    some = AuditCounts(lost=part(40, 20, 10), gained=part(40, 20, 10), kept=kept)
    assert some.retention == all_of_them.retention == 1.0
    assert some.retention_low() < all_of_them.retention_low()
    assert some.retention_high() > all_of_them.retention_high()


def test_missing_labels_stand_for_the_worst() -> None:
    full = AuditCounts(lost=whole(10, 4), gained=whole(5, 2), kept=whole(100, 70))
    open_ = AuditCounts(
        lost=whole(10, 3, 2), gained=whole(5, 2, 1), kept=whole(100, 60, 20), missing=23
    )
    assert open_.at_worst().lost.found == 5
    assert open_.at_worst().gained.found == 2
    assert open_.at_worst().kept.found == 60
    assert open_.at_best().lost.found == 3
    assert open_.at_best().gained.found == 3
    assert open_.at_best().kept.found == 80
    assert open_.retention_low() < full.retention_low()


def test_nothing_at_all_bounds_nothing() -> None:
    nothing = AuditCounts(lost=whole(0, 0), gained=whole(3, 1), kept=whole(0, 0))
    assert nothing.retention is None
    assert nothing.retention_low() == 0.0
    assert nothing.retention_high() == math.inf
    unseen = AuditCounts(lost=whole(0, 0), gained=whole(0, 0), kept=part(500, 0, 0))
    assert unseen.retention is None
    assert unseen.retention_low() == 0.0


def test_no_difference_still_leaves_what_the_number_of_rows_allows() -> None:
    """598 is the fewest rows without a loss that prove 99.5 % (docs/design.md §4)."""
    for trials, is_enough in ((597, False), (598, True)):
        counts = AuditCounts(lost=whole(0, 0), gained=whole(0, 0), kept=whole(trials, trials))
        assert (counts.retention_low() >= 0.995) == is_enough


def test_larger_traffic_is_bounded_tighter_and_a_sample_stays_as_it_is() -> None:
    counts = AuditCounts(lost=whole(10, 4), gained=whole(5, 2), kept=part(900, 200, 150))
    larger = counts.scaled(7.5)
    assert larger.lost == whole(75, 30)
    assert larger.gained == whole(38, 15)
    assert larger.kept == part(6750, 200, 150)
    assert larger.retention_low() > counts.retention_low()
