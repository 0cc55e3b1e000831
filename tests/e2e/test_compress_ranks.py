"""`--reduce-ranks`: smaller heads are measured, offered, chosen where they pay, and repeated."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from tests.support.small_task import SmallTask, small_task, train_small
from thinfer.bundle import open_bundle
from thinfer.cli.main import main
from thinfer.nn.save import save_checkpoint
from thinfer.text.corpus import read_corpus

pytest.importorskip("torch", reason="compress needs torch")

Capture = pytest.CaptureFixture[str]
ONE = ("--engine", "onnxruntime", "--precision", "fp32", "--floor", "accuracy>=30%")


def run_json(capsys: Capture, *words: object, code: int = 0) -> tuple[Any, str]:
    assert main([*map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if code == 0 else None, captured.err


def wide_heads(folder: Path) -> SmallTask:
    """The small task with a model of two heads of 24 dimensions."""
    task = small_task()
    trained = train_small(read_corpus(task.train), read_corpus(task.dev), epochs=2, heads=2)
    save_checkpoint(trained, folder)
    return dataclasses.replace(task, model=folder)


def cheap_sizes(table: Path) -> None:
    """Make smaller heads free in a stored table: the choice must not hang on noise."""
    body = json.loads(table.read_text())
    for times in body["workloads"].values():
        for sized in times["sized"]:
            for name, prices in sized.items():
                sized[name] = [0.0] * len(prices)
    table.write_text(json.dumps(body))


def test_smaller_heads_are_priced_chosen_and_repeated(capsys: Capture, tmp_path: Path) -> None:
    task, table = wide_heads(tmp_path / "model"), tmp_path / "table.json"
    plain = (*task.words(tmp_path / "plain"), "--widths", "1/2", "--latency-table", table, *ONE)
    run_json(capsys, *plain)
    asked = ("--widths", "1/2", "--latency-table", table, "--reduce-ranks", *ONE)
    _, said = run_json(capsys, *task.words(tmp_path / "refused"), *asked, code=2)
    assert "no prices of heads so small" in said

    table.unlink()
    run_json(capsys, *task.words(tmp_path / "measured"), *asked)
    assert json.loads(table.read_text())["head_sizes"] == [12]
    cheap_sizes(table)
    states = []
    for name in ("a", "b"):
        result, _ = run_json(capsys, *task.words(tmp_path / name), *asked)
        narrow = next(item for item in result["candidates"] if item["state"] == "width-1-2")
        sizes = next(s for s in narrow["steps"] if s["step"] == "prune")["details"]["head_sizes"]
        layers = narrow["architecture"]["layers"]
        assert [[layer["qk_size"], layer["value_size"]] for layer in layers] == sizes
        assert sizes != [[24, 24]] * 2
        states.append(load_file(tmp_path / f"{name}.work/states/width-1-2/weights.safetensors"))
        open_bundle(tmp_path / name)
    assert all((states[0][name] == states[1][name]).all() for name in states[0])


def test_heads_too_small_to_reduce_are_said(capsys: Capture, tmp_path: Path) -> None:
    words = small_task().words(tmp_path / "out", "--widths", "1/2", "--reduce-ranks", *ONE)
    result, said = run_json(capsys, *words)
    assert "too small to be made smaller" in said
    assert any(item["state"] == "width-1-2" for item in result["candidates"])
