"""A model that INT8 ruins: caught by name, rescued block by block, and the bundle says how."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.small_task import small_task
from thinfer.bundle import open_bundle
from thinfer.cli.main import main

pytest.importorskip("torch", reason="compress needs torch")

Capture = pytest.CaptureFixture[str]


def plant_outlier(model: Path) -> None:
    """One channel of all word rows is 100, and of all position rows −100.

    Their sum, and with it every answer, stays what it was; but a word row has one scale, and the
    other channels round to nothing beside so large a value.
    """
    from safetensors.numpy import load_file, save_file

    path = model / "model.safetensors"
    tensors = load_file(path)
    prefix = "ernie.embeddings"
    for table, value in (("word", 100.0), ("position", -100.0)):
        tensors[f"{prefix}.{table}_embeddings.weight"][:, 0] += np.float32(value)
    save_file(tensors, path, metadata={"format": "pt"})


def ask(capsys: Capture, *words: object, code: int = 0) -> dict[str, Any]:
    assert main([*map(str, words), "--json"]) == code
    return dict(json.loads(capsys.readouterr().out))


def test_a_collapse_is_caught_and_the_most_sensitive_block_goes_back_to_fp32(
    capsys: Capture, tmp_path: Path
) -> None:
    task, model, out = small_task(), tmp_path / "model", tmp_path / "bundle"
    shutil.copytree(task.model, model)
    plant_outlier(model)
    words = task.words(out, "--floor", "accuracy>=85%", "--widths", "1/2")
    words[words.index(str(task.model))] = str(model)
    result = ask(capsys, *words, "--engine", "onnxruntime", "--precision", "int8")
    tried = {item["name"]: item for item in result["candidates"]}
    collapsed = tried["dense-onnxruntime-int8"]
    assert collapsed["refused"].startswith("parity: 'dense-onnxruntime-int8' does not give")
    assert collapsed["kept_fp32"] == []
    rescued = tried["dense-onnxruntime-int8-keeps-1-fp32"]
    assert not str(rescued["refused"] or "").startswith(("parity", "on dev"))
    assert rescued["kept_fp32"] == ["embeddings"]
    assert rescued["parity"]["label_flips"] < collapsed["parity"]["label_flips"]
    assert rescued["block_losses"][0]["block"] == "embeddings"
    assert rescued["speedup"] > 0
    assert rescued["predicted_latency_ms"] is None
    assert not [name for name in tried if name.startswith("dense") and "keeps-2" in name]

    # What was chosen says so wherever one looks.
    chosen = result["chosen"]
    assert chosen["kept_fp32"][0] == "embeddings"
    (precision,) = (each for each in result["factors"] if each["name"] == "precision")
    assert precision["detail"].endswith(f"{len(chosen['kept_fp32'])} blocks stay in FP32")
    entry = open_bundle(out).manifest.chosen
    assert entry.options["kept_fp32"] == ",".join(chosen["kept_fp32"])
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "left in FP32" in page
    assert "in FP32: embeddings" in page
    assert "| blocks left in FP32 | - | embeddings" in (out / "README.md").read_text()
    assert main(["inspect", str(out)]) == 0
    assert "in FP32     embeddings" in capsys.readouterr().out
    shown = ask(capsys, "inspect", out)
    assert "embeddings" in str(shown["engines"])
    assert ask(capsys, "verify", out)["ok"] is True

    # Another machine leaves the same blocks as they are.
    tuned = ask(capsys, "tune", out, "--test", task.test, "--threads", "1")
    kept = {item["name"]: item["kept_fp32"] for item in tuned["candidates"]}
    assert [names for name, names in kept.items() if "-int8" in name] == [
        chosen["kept_fp32"]
    ] * len([name for name in kept if "-int8" in name])
