"""Which way a run looks for states: named or on a ladder, or in rungs where time was given."""

from types import SimpleNamespace
from typing import Any

import pytest

from thinfer.pipeline import source


@pytest.mark.parametrize(
    ("is_explored", "wanted"), [(False, ["narrow"]), (True, ["student", "finalist"])]
)
def test_time_without_names_is_spent_in_rungs(
    monkeypatch: pytest.MonkeyPatch, is_explored: bool, wanted: list[str]
) -> None:
    for name, made in (
        ("narrow_states", "narrow"),
        ("student_states", "student"),
        ("explore_states", "finalist"),
    ):
        monkeypatch.setattr(source, name, lambda *args, made=made: iter([made]))
    monkeypatch.setattr(source, "Explorer", lambda *args: None)
    monkeypatch.setattr(source, "Cutter", lambda *args: None)
    job: Any = SimpleNamespace(is_explored=is_explored)
    stands_in: Any = None
    states: Any = source.list_states(
        job,
        stands_in,
        stands_in,
        table=None,
        left=lambda: 1.0,
        is_cleared=lambda name: True,
        dropped={},
    )
    assert list(states) == wanted
