"""`thinfer pack`: checkpoint → bundle, nothing removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.small_task import MAX_LENGTH, small_task
from thinfer.bundle import open_bundle
from thinfer.classifier import Classifier
from thinfer.cli.main import main
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.predict import compute_logits

pytest.importorskip("torch", reason="checkpoints are read with torch")

Capture = pytest.CaptureFixture[str]


def run_json(capsys: Capture, *words: object) -> Any:  # noqa: ANN401 - JSON
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_packed_bundle_answers_as_the_checkpoint(capsys: Capture, tmp_path: Path) -> None:
    task, out = small_task(), tmp_path / "bundle"
    result = run_json(capsys, "pack", task.model, "--out", out, "--normal-label", "normal")
    bundle = open_bundle(out)
    assert result["version"] == bundle.version
    assert result["size_bytes"] == bundle.size_bytes()
    checkpoint = load_checkpoint(task.model)
    assert bundle.manifest.labels == checkpoint.labels
    assert bundle.manifest.normal_label == "normal"
    assert bundle.manifest.max_length == MAX_LENGTH
    assert bundle.profile() is None  # no text was at hand
    assert bundle.manifest.architecture.layers == checkpoint.architecture.layers
    assert bundle.manifest.architecture.vocab == checkpoint.architecture.vocab
    texts = ["加我领取免费金币", "hello there", "", "长" * 400]
    wanted = compute_logits(checkpoint.model, checkpoint.tokenizer.encode(texts).batch, pad_id=0)
    for engine in ("onnxruntime", "torch"):
        with Classifier.open(out, engine=engine, threads=1) as classifier:
            np.testing.assert_allclose(classifier.logits(texts), wanted, atol=1e-4)
    same = [
        run_json(capsys, "evaluate", model, "--data", task.test)["metrics"]
        for model in (task.model, out)
    ]
    for name in ("accuracy", "macro_f1", "recall", "precision"):
        assert same[0][name] == same[1][name]


def test_int8_is_smaller_and_verifies(capsys: Capture, tmp_path: Path) -> None:
    task = small_task()
    sizes = [
        run_json(
            capsys, "pack", task.model, "--out", tmp_path / precision, "--precision", precision
        )["size_bytes"]
        for precision in ("fp32", "int8")
    ]
    assert sizes[1] < 0.6 * sizes[0]
    assert run_json(capsys, "verify", tmp_path / "int8")["ok"] is True
    # Packing again replaces the bundle, and gives the same one.
    first = open_bundle(tmp_path / "int8").version
    run_json(capsys, "pack", task.model, "--out", tmp_path / "int8", "--precision", "int8")
    assert open_bundle(tmp_path / "int8").version == first


def test_openvino_int8_wants_text_to_calibrate_on(capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs openvino")
    pytest.importorskip("nncf", reason="needs nncf")
    task, out = small_task(), tmp_path / "bundle"
    words = ["pack", str(task.model), "--out", str(out), "--engine", "openvino"]
    words += ["--precision", "int8"]
    assert main(words) == 2
    assert "--calibrate FILE" in capsys.readouterr().err
    assert not out.exists()
    result = run_json(capsys, *words, "--calibrate", task.dev)
    profile = open_bundle(Path(result["bundle"])).profile()
    assert profile is not None
    assert (profile.source, profile.engine) == ("calibrate", "openvino")
    assert (result["engine"], result["precision"]) == ("openvino", "int8")
    assert run_json(capsys, "verify", out)["ok"] is True


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--engine", "steam"), ("steam", "onnxruntime fp32")),
        (("--precision", "int3"), ("int3", "fp32, bf16 or int8")),
        (("--precision", "bf16"), ("onnxruntime", "openvino bf16")),
        (("--normal-label", "weather"), ("weather", "--normal-label")),
    ],
)
def test_a_bad_option_is_2(
    capsys: Capture, tmp_path: Path, words: tuple[str, str], parts: tuple[str, ...]
) -> None:
    out = tmp_path / "bundle"
    assert main(["pack", str(small_task().model), "--out", str(out), *words]) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in parts)
    assert not out.exists()
