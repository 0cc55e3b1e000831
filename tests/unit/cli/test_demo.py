from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.sample_result import sample_result
from thinfer.cli.main import main
from thinfer.pipeline import demo as pipeline_demo


def _finish(monkeypatch: pytest.MonkeyPatch, verdict: str) -> list[Any]:
    """Let the demo end at once with a given verdict; gives the requests it was asked with."""
    asked: list[Any] = []

    def run_demo(request: Any, **others: object) -> Any:  # noqa: ANN401 - a double
        del others
        asked.append(request)
        compression = SimpleNamespace(
            result={**sample_result(), "verdict": verdict},
            verdict=verdict,
            is_cleared=True,
            bundle=SimpleNamespace(path=Path("bundle")),
        )
        answer = {"result": "spam", "probability": 0.75, "version": "0123456789ab"}
        return SimpleNamespace(compression=compression, question="coins?", answer=answer)

    monkeypatch.setattr(pipeline_demo, "run_demo", run_demo)
    return asked


def test_the_demo_tells_the_table_the_answer_and_where_the_report_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = _finish(monkeypatch, "holds")
    assert main(["demo", "--out", "there", "--seed", "3"]) == 0
    assert (asked[0].out, asked[0].seed) == (Path("there"), 3)
    said = capsys.readouterr().out
    assert "coins?" in said
    assert "spam  (0.750, version 0123456789ab)" in said
    assert "there/bundle/report.html" in said
    assert "7.4 times" in said


def test_a_broken_floor_ends_with_exit_code_4(monkeypatch: pytest.MonkeyPatch) -> None:
    _finish(monkeypatch, "broken")
    assert main(["demo"]) == 4
