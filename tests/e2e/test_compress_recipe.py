"""`--recipe`: a sparse state beside the dense one, in every precision, its zeros in the files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.support.small_task import small_task
from thinfer.bundle import open_bundle
from thinfer.cli.main import main
from thinfer.compress.zeros import count_zeros
from thinfer.export.zeros import count_file_zeros

pytest.importorskip("torch", reason="compress needs torch")

Capture = pytest.CaptureFixture[str]
BASE = ("--engine", "onnxruntime", "--precision", "fp32", "--precision", "int8")
ASKED = (*BASE, "--floor", "accuracy>=30%")
RECIPE = """
[[step]]
kind = "max_length"
tokens = 24

[[step]]
kind = "layer_drop"
count = 1

[[step]]
kind = "prune"
width = "3/4"

[[step]]
kind = "sparsify"
sparsity = 0.5
pattern = "1x4"
method = "magnitude"
epochs = 1

[[step]]
kind = "sparsify"
pattern = "2:4"
method = "second_order"

[[step]]
kind = "distill"
epochs = 1
"""


def run_json(capsys: Capture, *words: object, code: int = 0) -> tuple[Any, str]:
    assert main([*map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if code == 0 else None, captured.err


def write(folder: Path, text: str = RECIPE) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_recipe_makes_one_more_state_whose_zeros_reach_the_files(
    capsys: Capture, tmp_path: Path
) -> None:
    task, recipe, table = small_task(), write(tmp_path), tmp_path / "table.json"
    config = tmp_path / "config.toml"
    config.write_text(f'[compress]\nrecipe = "{recipe}"\nlatency-table = "{table}"\n')
    result, _ = run_json(capsys, *task.words(tmp_path / "a"), *ASKED, "--config", config)
    names = [item["name"] for item in result["candidates"]]
    assert names == [
        f"{state}-onnxruntime-{kind}"
        for state, kinds in (("dense", ("fp32", "int8")), ("recipe", ("int8", "fp32")))
        for kind in kinds
    ]
    work = tmp_path / "a.work"
    weights = load_file(work / "states/recipe/weights.safetensors")
    counted = count_zeros(weights)
    assert counted["share"] > 0.5
    assert result["candidates"][0]["sparsity"] is None
    for item in result["candidates"][2:]:
        zeros = item["sparsity"]
        assert {key: zeros[key] for key in counted} == counted
        assert len(item["architecture"]["layers"]) == 1
        found = count_file_zeros(work / "candidates" / item["name"] / _graph(item))
        assert zeros["file_zeros"] == found.zeros >= counted["zeros"]
        assert (found.zeros == counted["zeros"]) or item["precision"] == "int8"
    steps = [step["step"] for step in result["candidates"][2]["steps"]]
    assert steps == [
        "positions", "vocabulary", "positions", "prune", "prune", "sparsify", "sparsify", "distill",
    ]  # fmt: skip
    for name in (name for name in weights if name.endswith("up.weight")):
        groups = (weights[name] == 0.0).reshape(len(weights[name]), -1, 4)
        assert (groups.sum(2) >= 2).all()
    page = (tmp_path / "a" / "report.html").read_text()
    assert "Zeros inside the matrices" in page
    manifest = open_bundle(tmp_path / "a").manifest
    if result["chosen"]["state"] == "recipe":
        stored = [step for step in manifest.recipe if step["step"] == "sparsify"]
        assert stored[-1]["details"]["kinds"] == counted["kinds"]

    shutil.rmtree(work / "candidates/recipe-onnxruntime-int8")
    resumed, said = run_json(
        capsys, *task.words(tmp_path / "a"), *ASKED, "--config", config, "--resume"
    )
    assert "recipe, step" not in said
    assert [item["name"] for item in resumed["candidates"]] == names
    precision = json.loads(table.read_text())["precision"]  # the faster one here
    alone = ("--engine", "onnxruntime", "--precision", precision, "--floor", "accuracy>=30%")
    run_json(capsys, *task.words(tmp_path / "b"), *alone, "--config", config)
    again = load_file(tmp_path / "b.work/states/recipe/weights.safetensors")
    assert all(np.array_equal(weights[name], again[name]) for name in weights)

    write(tmp_path, RECIPE.replace("0.5", "0.75"))
    _, said = run_json(
        capsys, *task.words(tmp_path / "a"), *ASKED, "--config", config, "--resume", code=2
    )
    assert "holds the work of another command" in said


def _graph(item: dict[str, Any]) -> str:
    return "model.onnx" if item["precision"] == "fp32" else "engines/onnxruntime/model.onnx"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[step]]\nkind = 'melt'", "at recipe"),
        ("[[step]]\nkind = 'sparsify'\nsparsity = 2", "at step 1"),
        ("[[step]]\nkind = 'layer_drop'\nlayers = [7]", "step 1, layer_drop"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_a_usage_error(
    capsys: Capture, tmp_path: Path, text: str, said: str
) -> None:
    words = small_task().words(tmp_path / "out")
    _, told = run_json(capsys, *words, *ASKED, "--recipe", write(tmp_path, text), code=2)
    assert said in told
