"""`thinfer compress` in its other forms: every engine, distillation, text pairs."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.small_task import QUICK, small_task
from thinfer.bundle import open_bundle
from thinfer.classifier import Classifier
from thinfer.cli.main import main

pytest.importorskip("torch", reason="compress needs torch")

Capture = pytest.CaptureFixture[str]


def run_json(capsys: Capture, *words: object, code: int = 0) -> tuple[Any, str]:
    assert main([*map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


@pytest.mark.skipif(
    not (importlib.util.find_spec("openvino") and importlib.util.find_spec("nncf")),
    reason="needs openvino and nncf",
)
def test_every_engine_and_precision_of_this_machine(capsys: Capture, tmp_path: Path) -> None:
    task, out = small_task(), tmp_path / "bundle"
    # Named, both stay in the race whichever is faster on so small a model.
    both = ("--engine", "onnxruntime", "--engine", "openvino")
    words = task.words(out, "--floor", "accuracy>=75%", "--widths", "1/2", *both)
    result, said = run_json(capsys, *words)
    tried = {item["name"]: item for item in result["candidates"]}
    dense = {name for name in tried if name.startswith("dense-")}
    assert {
        "dense-onnxruntime-fp32",
        "dense-onnxruntime-int8",
        "dense-openvino-fp32",
        "dense-openvino-int8",
    } <= dense
    assert any(name.startswith("width-1-2-openvino") for name in tried)
    assert all(item["dev_metrics"] for item in tried.values() if not item["refused"])
    assert "━" not in said
    assert "Statistics" not in said
    assert result["verdict"] in ("holds", "unproven")

    # An engine that is not ONNX Runtime leaves a portable FP32 graph beside its own files.
    openvino = tmp_path / "openvino"
    precision = ("--engine", "openvino", "--precision", "int8", "--widths", "1/2")
    result, _ = run_json(capsys, *task.words(openvino, "--floor", "accuracy>=75%", *precision))
    bundle = open_bundle(openvino)
    assert (result["chosen"]["engine"], result["chosen"]["precision"]) == ("openvino", "int8")
    assert {entry.name for entry in bundle.manifest.engines} == {"openvino", "onnxruntime", "torch"}
    verified, _ = run_json(capsys, "verify", openvino)
    assert [row["name"] for row in verified["engines"] if row.get("max_difference") is not None]
    with Classifier.open(openvino, engine="onnxruntime", threads=1) as portable:
        assert portable.engine.info.precision == "fp32"


@pytest.mark.parametrize(("retrain", "cuts"), [("short", 1), ("full", 2)])
def test_retraining_distils_each_narrower_state(
    capsys: Capture, tmp_path: Path, retrain: str, cuts: int
) -> None:
    task, out = small_task(), tmp_path / "bundle"
    quick = ("--engine", "onnxruntime", "--precision", "fp32", "--widths", "1/3")
    words = task.words(out, "--floor", "accuracy>=50%", "--retrain", retrain, *quick)
    result, _ = run_json(capsys, *words)
    steps = {
        item["name"]: [step["step"] for step in item["steps"]] for item in result["candidates"]
    }
    assert steps["width-1-3-onnxruntime-fp32"][-2 * cuts :] == ["prune", "distill"] * cuts
    assert "distill" not in steps["dense-onnxruntime-fp32"]
    assert open_bundle(out).version == result["version"]


def test_several_widths_are_trained_together(capsys: Capture, tmp_path: Path) -> None:
    task, out = small_task(), tmp_path / "bundle"
    quick = ("--engine", "onnxruntime", "--precision", "fp32", "--widths", "1/2,1/4")
    words = (*task.words(out, "--floor", "accuracy>=50%", *quick), "--retrain", "adaptive")
    result, _ = run_json(capsys, *words, "--augment", "1")
    narrow = [item for item in result["candidates"] if item["state"].startswith("width-")]
    assert [item["state"] for item in narrow] == ["width-1-2", "width-1-4"]
    for item in narrow:
        prune, adaptive = item["steps"][-2:]
        assert (prune["step"], adaptive["step"]) == ("prune", "adaptive")
        assert adaptive["details"]["trained_widths"] == ["1/2", "1/4"]
        assert adaptive["details"]["augmented_rows"] == 400
        assert adaptive["details"]["unlabelled_rows"] == 400
    assert open_bundle(out).version == result["version"]


def write_pairs(path: Path, rng: np.random.Generator, rows: int) -> None:
    """Whether the second text repeats a word of the first."""
    nouns = ["apple", "river", "stone", "cloud", "horse", "paper", "lamp", "chair"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("text", "text_pair", "label"))
        for row in range(rows):
            first, other = rng.choice(nouns, 2, replace=False)
            same = bool(rng.integers(2))
            second = first if same else other
            number = int(rng.integers(10**6))
            writer.writerow((f"{first} {number}", f"{second} {row}", "yes" if same else "no"))


def test_pairs_go_from_fit_to_an_answer(capsys: Capture, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for name, rows in (("train", 300), ("dev", 80), ("test", 80)):
        write_pairs(tmp_path / f"{name}.csv", rng, rows)
    sets = [word for name in ("train", "dev") for word in (f"--{name}", tmp_path / f"{name}.csv")]
    model, out = tmp_path / "model", tmp_path / "bundle"
    trained = ("--epochs", "2", "--learning-rate", "1e-3", "--precision", "fp32")
    fitted, _ = run_json(capsys, "fit", small_task().model, *sets, "--out", model, *trained)
    assert fitted["labels"] == ["no", "yes"]
    assert fitted["leftovers"] == ["head.weight", "head.bias"]

    sets += ["--test", tmp_path / "test.csv", "--threads", "1"]
    words = ("compress", model, *sets, "--out", out, "--floor", "accuracy>=60%", *QUICK)
    result, _ = run_json(capsys, *words)
    assert result["data"]["test"] == 80

    assert main(["predict", str(out), "--input", str(tmp_path / "test.csv")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    answers = [result["answers"]["chosen"][row] for row in range(80)]
    assert [line["label"] for line in lines] == [("no", "yes")[answer] for answer in answers]

    tuned, _ = run_json(capsys, "tune", out, "--test", tmp_path / "test.csv", "--threads", "1")
    assert tuned["n"] == 80
