"""`pack`, then `bench` against real peers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="peers need the compress extra")
pytest.importorskip("transformers", reason="peers need the compress extra")

from tests.support.tiny_checkpoints import make_model, save_model
from thinfer.cli.main import main


def test_a_packed_bundle_beside_transformers_and_the_original(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, bundle, texts = tmp_path / "teacher", tmp_path / "bundle", tmp_path / "texts.txt"
    save_model(make_model("ernie"), teacher)
    texts.write_text("".join(f"w{row} w{row + 1}\tnormal\n" for row in range(40)))
    assert main(["pack", str(teacher), "--out", str(bundle), "--precision", "int8"]) == 0
    capsys.readouterr()
    peers = ["transformers", f"onnxruntime:{teacher}"]
    words = [word for peer in peers for word in ("--against", peer)]
    lengths = f"1x8,4x16,corpus:{texts}"
    command = ["bench", str(bundle), *words, "--lengths", lengths, "--rounds", "6", "--threads"]
    assert main([*command, "1", "--json", "--quiet"]) == 0
    body = json.loads(capsys.readouterr().out)
    rows = {(row["name"], row["workload"]): row for row in body["rows"]}
    workloads = {"1x8", "4x16", "corpus:texts.txt"}
    names = {"bundle:onnxruntime", "bundle:torch", *peers}
    assert set(rows) == {(name, workload) for name in names for workload in workloads}
    assert rows["bundle:onnxruntime", "1x8"]["precision"] == "int8"
    for workload in workloads:
        assert rows["transformers", workload]["ratio"] == 1.0
    for row in rows.values():
        low, high = row["ratio_interval"]
        assert 0 < low <= row["ratio"] <= high
        assert row["ms_median"] > 0
