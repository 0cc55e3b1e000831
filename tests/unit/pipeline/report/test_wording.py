from __future__ import annotations

import pytest

from thinfer.pipeline.report.wording import (
    show_bytes,
    show_count,
    show_milliseconds,
    show_percent,
    show_ratio,
    show_seconds,
    text_of,
)


def test_a_missing_number_is_a_dash() -> None:
    shows = (show_bytes, show_count, show_milliseconds, show_percent, show_ratio, show_seconds)
    assert {show(None) for show in shows} == {"–"}
    assert text_of(None) == "–"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (show_ratio(1.321), "1.32×"),
        (show_ratio(7.38), "7.4×"),
        (show_ratio(1234.4), "1,234×"),
        (show_percent(0.995), "99.50 %"),
        (show_bytes(15_600_000), "15.6 MB"),
        (show_bytes(1.24e9), "1.24 GB"),
        (show_bytes(999), "999 B"),
        (show_count(1040.6), "1,041"),
        (show_count(4.25), "4.2"),
        (show_milliseconds(2.136), "2.14 ms"),
        (show_milliseconds(1351.0), "1,351 ms"),
        (show_seconds(0.4), "0.4 s"),
        (show_seconds(41.2), "41 s"),
        (show_seconds(512.0), "8 min 32 s"),
        (show_seconds(119.7), "2 min 00 s"),
        (text_of({"a": 1200, "b": [0.5, True]}), "a 1,200, b 0.5, yes"),
    ],
)
def test_numbers_are_short_and_have_a_unit(shown: str, expected: str) -> None:
    assert shown == expected
