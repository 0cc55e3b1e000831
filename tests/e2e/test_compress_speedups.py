"""`--speedups` and `--latency-table`: measured, tightened, and repeated from the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from tests.support.small_task import small_task
from thinfer.cli.main import main

pytest.importorskip("torch", reason="compress needs torch")

Capture = pytest.CaptureFixture[str]
ONE = ("--engine", "onnxruntime", "--precision", "fp32", "--floor", "accuracy>=30%")


def run_json(capsys: Capture, *words: object, code: int = 0) -> tuple[Any, str]:
    assert main([*map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if code == 0 else None, captured.err


def test_a_speedup_is_measured_and_the_table_repeats_it(capsys: Capture, tmp_path: Path) -> None:
    task, table = small_task(), tmp_path / "table.json"
    asked = ("--speedups", "1.05", "--latency-table", table, *ONE)
    first, _ = run_json(capsys, *task.words(tmp_path / "a"), *asked)
    narrow = next(item for item in first["candidates"] if item["state"] == "speedup-1.05")
    step = next(step for step in narrow["steps"] if step["step"] == "speedup")
    assert step["details"]["asked"] == 1.05
    assert 1 <= len(step["details"]["measured"]) <= 4
    reached = step["details"]["measured"][-1] >= 0.97 * 1.05
    assert step["outcome"] == ("applied" if reached else "degraded")
    assert narrow["predicted_latency_ms"] > 0
    stored = json.loads(table.read_text())
    assert set(stored["aims"]) == {"1.05"}

    second, _ = run_json(capsys, *task.words(tmp_path / "b"), *asked)
    assert json.loads(table.read_text()) == stored
    again = next(item for item in second["candidates"] if item["state"] == "speedup-1.05")
    assert again["architecture"] == narrow["architecture"]
    one, other = (
        load_file(tmp_path / f"{name}.work/states/speedup-1.05/weights.safetensors")
        for name in ("a", "b")
    )
    assert all((one[name] == other[name]).all() for name in one)


def test_a_speedup_out_of_reach_is_refused_with_the_most_there_is(
    capsys: Capture, tmp_path: Path
) -> None:
    words = small_task().words(tmp_path / "out")
    _, said = run_json(capsys, *words, "--speedups", "500", *ONE, code=2)
    assert "out of reach by pruning alone" in said
    assert "at most" in said


def test_a_table_of_another_model_is_refused(capsys: Capture, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    words = small_task().words(tmp_path / "out")
    run_json(capsys, *words, "--widths", "1/2", "--latency-table", table, *ONE)
    body = json.loads(table.read_text())
    table.write_text(json.dumps({**body, "hidden": 96}))
    _, said = run_json(capsys, *words, "--widths", "1/2", "--latency-table", table, *ONE, code=2)
    assert "another model" in said
