"""`thinfer compress` that cuts texts, and one that is given minutes."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_task import run_thinfer, small_task
from thinfer.bundle import open_bundle
from thinfer.classifier import Classifier

pytest.importorskip("torch", reason="compress needs torch")

FORMS = ("--engine", "onnxruntime", "--precision", "fp32")


def shorten_most(folder: Path) -> dict[str, Path]:
    """The small task with texts of few words, but for every fiftieth, which is long."""
    files = {}
    for name in ("train", "dev", "test"):
        with Path(getattr(small_task(), name)).open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        for place, row in enumerate(rows):
            is_long = place % 50 == 0
            row["text"] = row["text"] * 4 if is_long else f"{row['text'][:9]} {place}"
        files[name] = folder / f"{name}.csv"
        with files[name].open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    return files


def compress(files: dict[str, Path], out: Path, *more: str) -> dict[str, Any]:
    sets = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    words = ["compress", str(small_task().model), *sets, "--out", str(out), "--threads", "1"]
    done = run_thinfer(*words, *FORMS, *more, "--json", timeout=280)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_texts_are_cut_where_that_pays_and_the_bundle_obeys(tmp_path: Path) -> None:
    files = shorten_most(tmp_path)
    result = compress(files, tmp_path / "out", "--floor", "agreement>=0.5", "--widths", "1/2")
    limits = {row["name"]: row["max_length"] for row in result["candidates"]}
    short = [name for name in limits if "-length-" in name]
    assert len(short) == 1  # one further form, not a second search
    limit = limits[short[0]]
    assert limit < limits["dense-onnxruntime-fp32"] == 32
    (row,) = (row for row in result["candidates"] if row["name"] == short[0])
    assert row["texts_per_second"] > 0
    assert row["dev_metrics"]["n"] == 120
    assert row["architecture"]["positions"] == limit
    best = open_bundle(tmp_path / "out.work" / "best").manifest
    assert best.max_length in (32, limit)

    chosen = open_bundle(tmp_path / "out").manifest
    assert chosen.max_length == result["chosen"]["max_length"]
    assert chosen.architecture.max_length == chosen.max_length
    names = [factor["name"] for factor in result["factors"]]
    assert ("max length" in names) == (chosen.max_length == limit)
    with Classifier.open(tmp_path / "out") as model:
        assert model.tokenizer.max_length == chosen.max_length
        assert model("word " * 500)


def test_minutes_are_kept_and_early_drops_are_told(tmp_path: Path) -> None:
    task = small_task()
    files = {name: getattr(task, name) for name in ("train", "dev", "test")}
    begun = time.monotonic()
    result = compress(files, tmp_path / "out", "--floor", "accuracy>=60%", "--minutes", "0.7")
    # Slack: a busy machine may take long over one piece of work, and starting up is not counted.
    assert time.monotonic() - begun < 42 + 60
    early = [row for row in result["candidates"] if row.get("rung") is not None]
    for row in early:
        assert row["refused"].startswith("dropped after rung")
        assert row["engine"] is None
        assert row["predicted_speedup"] > 0
    assert "dropped early" in (tmp_path / "out" / "report.html").read_text() or not early
    assert open_bundle(tmp_path / "out.work" / "best").manifest.quality["verdicts"] == []
