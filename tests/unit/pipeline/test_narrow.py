"""Where the next width lies when the coarse ones have been tried."""

from fractions import Fraction

import pytest

from thinfer.pipeline.narrow import halve_gap

LADDER = [Fraction(text) for text in ("3/4", "1/2", "3/8", "1/4", "1/6")]


@pytest.mark.parametrize(
    ("cleared", "between"),
    [
        (["3/4", "1/2", "3/8"], "5/16"),
        (["3/4", "3/8"], "5/16"),  # a miss that lies wider does not count
        (["3/4", "1/2", "3/8", "5/16"], "9/32"),
        ([], "7/8"),
        (["3/4", "1/2", "3/8", "1/4", "1/6"], None),
    ],
)
def test_the_gap_below_the_narrowest_cleared_width_is_halved(
    cleared: list[str], between: str | None
) -> None:
    widths = [Fraction(text) for text in cleared]
    found = halve_gap([*LADDER, *widths], widths)
    assert found == (None if between is None else Fraction(between))
