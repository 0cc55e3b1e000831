"""A model of text pairs from the checkpoint to the bundle: neither text is ever left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_forms import small_pairs
from thinfer.cli.main import main

Capture = pytest.CaptureFixture[str]


def run_json(capsys: Capture, *words: object) -> Any:  # noqa: ANN401 - JSON
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def swapped(source: Path, target: Path) -> Path:
    """The file with first and second texts changed over, and the labels that go with it."""
    turned = {"better": "worse", "worse": "better", "equal": "equal"}
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    lines = [
        json.dumps(
            {"text": row["text_pair"], "text_pair": row["text"], "label": turned[row["label"]]}
        )
        for row in rows
    ]
    target.write_text("\n".join(lines), encoding="utf-8")
    return target


def test_checkpoint_and_bundle_answer_pairs_alike(capsys: Capture, tmp_path: Path) -> None:
    task, bundle = small_pairs(), tmp_path / "bundle"
    run_json(capsys, "pack", task.model, "--out", bundle, "--calibrate", task.train)
    found = [
        run_json(capsys, "evaluate", model, "--data", task.test)["metrics"]
        for model in (task.model, bundle)
    ]
    assert found[0] == found[1]
    assert found[0]["accuracy"] > 0.75  # the commonest answer is right in half
    # Which text came first is what the labels are about.
    other = swapped(task.test, tmp_path / "swapped.jsonl")
    assert run_json(capsys, "evaluate", bundle, "--data", other)["metrics"]["accuracy"] > 0.7


def test_predict_answers_the_pairs_of_a_file(capsys: Capture, tmp_path: Path) -> None:
    task, bundle, out = small_pairs(), tmp_path / "bundle", tmp_path / "out.jsonl"
    run_json(capsys, "pack", task.model, "--out", bundle)
    assert main(["predict", str(bundle), "--input", str(task.test), "--output", str(out)]) == 0
    rows = [json.loads(line) for line in task.test.read_text(encoding="utf-8").splitlines()]
    answers = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [answer["text_pair"] for answer in answers] == [row["text_pair"] for row in rows]
    measured = run_json(capsys, "evaluate", bundle, "--data", task.test)["metrics"]["accuracy"]
    right = [answer["label"] == row["label"] for answer, row in zip(answers, rows, strict=True)]
    assert sum(right) / len(right) == pytest.approx(measured)
