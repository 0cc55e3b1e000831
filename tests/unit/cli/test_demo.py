from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.sample_result import sample_result
from thinfer.cli.demo import _require_floor, describe_result
from thinfer.errors import QualityError


def test_the_table_sets_before_beside_after_and_names_every_verdict() -> None:
    text = describe_result(sample_result())
    assert "7.4 times as fast" in text
    assert "148.0" in text
    assert "15.6" in text
    assert [line.split()[1] for line in text.splitlines()[-4:]] == [
        "holds",
        "unproven",
        "holds",
        "holds",
    ]


def test_what_was_not_measured_is_a_dash() -> None:
    result = sample_result()
    result["chosen"]["peak_rss_bytes"] = None
    del result["chosen"]["metrics"]
    del result["speedup"]
    lines = [line for line in describe_result(result).splitlines() if line]
    rows = {line.split("  ")[0]: line.split()[-1] for line in lines}
    assert rows["peak memory, MB"] == rows["accuracy on test"] == "-"


@pytest.mark.parametrize(
    ("verdict", "is_cleared", "is_refused"),
    [
        ("holds", True, False),
        ("unproven", True, False),
        ("broken", True, True),
        ("unproven", False, True),
    ],
)
def test_a_broken_floor_ends_with_an_error(
    verdict: str, is_cleared: bool, is_refused: bool
) -> None:
    compression = SimpleNamespace(verdict=verdict, is_cleared=is_cleared)
    demo: Any = SimpleNamespace(compression=compression)
    if is_refused:
        with pytest.raises(QualityError, match="does not hold"):
            _require_floor(demo, Path("demo"))
    else:
        _require_floor(demo, Path("demo"))
