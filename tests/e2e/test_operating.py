"""Thresholds, slices, rates, several labels, pairs: from the command line to the same answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.serving import serve_process
from tests.support.small_forms import small_pairs, small_sets
from tests.support.small_task import QUICK, SmallTask, small_task
from thinfer.bundle import open_bundle
from thinfer.cli.main import main
from thinfer.text.corpus import read_corpus

pytest.importorskip("torch", reason="compress needs torch")

Capture = pytest.CaptureFixture[str]


def run_json(capsys: Capture, *words: object, code: int = 0) -> tuple[Any, str]:
    assert main([*map(str, words), "--json"]) == code, capsys.readouterr().err
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def with_source(task: SmallTask, folder: Path) -> dict[str, Path]:
    """The small task's files with a column that says where a row is from."""
    found = {}
    for name in ("train", "dev", "test"):
        with getattr(task, name).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        found[name] = folder / f"{name}.csv"
        with found[name].open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("text", "label", "source"))
            for number, row in enumerate(rows):
                writer.writerow((row["text"], row["label"], ("post", "comment")[number % 3 == 0]))
    return found


def predict(capsys: Capture, bundle: Path, file: Path) -> list[Any]:
    assert main(["predict", str(bundle), "--input", str(file)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def ask_served(bundle: Path, file: Path, rows: int) -> list[Any]:
    """What `/check` of a real server says of the first rows of a file."""
    corpus = read_corpus(file, need_labels=False)
    with serve_process(bundle) as server:
        found = []
        for row in range(rows):
            body = {"content": corpus.texts[row]}
            if corpus.pairs is not None:
                body["pair"] = corpus.pairs[row]
            found.append(server.ask("POST", "/check", body).body)
    return found


def compare(served: list[Any], offline: list[Any]) -> None:
    for one, other in zip(served, offline, strict=False):
        assert (one["result"], one.get("labels")) == (other["label"], other.get("labels"))
        assert one["probability"] == pytest.approx(other["score"], abs=2e-3)


def test_thresholds_slices_and_rates_are_judged_stored_and_served(
    capsys: Capture, tmp_path: Path
) -> None:
    task, out = small_task(), tmp_path / "bundle"
    files = with_source(task, tmp_path)
    sets = [word for name in files for word in (f"--{name}", files[name])]
    labels = json.loads((task.model / "config.json").read_text())["id2label"].values()
    rated, fixed = [label for label in labels if label != "normal"][:2]
    floors = (
        "--floor", f"recall[{rated}]@fpr=0.1>=50%",
        "--floor", "flagged_recall[|source=comment]>=50%",
        "--threshold", f"{fixed}=0.2", "--priority", f"{fixed},{rated}",
        "--normal-label", "normal", "--slice", "source",
    )  # fmt: skip
    words = ["compress", task.model, *sets, "--out", out, "--threads", "1", *floors, *QUICK]
    result, _ = run_json(capsys, *words)
    by_expr = {floor["expr"]: floor for floor in result["floors"]}
    rate = by_expr[f"recall[{rated}]@fpr=0.1>=50%"]
    assert 0 <= rate["false_positive_rate"] <= 1
    assert by_expr["flagged_recall[|source=comment]>=50%"]["slice"] == ["source", "comment"]
    told = {item["label"]: item["threshold"] for item in result["original"]["operating"]["labels"]}
    assert told[fixed] == 0.2
    assert told[rated] is not None
    assert told["normal"] is None

    # What is stored is the chosen form's own point, and everybody answers by it.
    manifest = open_bundle(out).manifest
    assert set(manifest.operating.thresholds) == {fixed, rated}
    assert manifest.operating.priority == (fixed, rated)
    offline = predict(capsys, out, files["test"])
    names = [manifest.labels[code] for code in result["answers"]["chosen"]]
    kept = result["answers"]["rows"]
    assert [offline[row]["label"] for row in kept] == names
    assert any(line["label"] != max(line["scores"], key=line["scores"].get) for line in offline), (
        "no row shows that a threshold decides"
    )
    compare(ask_served(out, files["test"], 60), offline)
    evaluated, _ = run_json(capsys, "evaluate", out, "--data", files["test"])
    # A priority alone leaves the bundle's thresholds as they are.
    again, _ = run_json(capsys, "evaluate", out, "--data", files["test"], "--priority", fixed)
    assert again["metrics"]["flag_rate"] == evaluated["metrics"]["flag_rate"]
    truth = read_corpus(files["test"]).labels or ()
    right = np.mean([line["label"] == label for line, label in zip(offline, truth, strict=True)])
    assert evaluated["metrics"]["accuracy"] == pytest.approx(right)
    tuned, _ = run_json(capsys, "tune", out, "--test", files["test"], "--threads", "1")
    assert {floor["expr"] for floor in tuned["floors"]} == set(by_expr)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--threshold", "{0}=1.5"), "outside 0 … 1"),
        (("--threshold", "{0}"), "cannot be read"),
        (("--threshold", "ham=0.5"), "not a label"),
        (("--priority", "ham"), "not a label"),
        (("--slice", "origin"), "has no column 'origin'"),
        (("--floor", "recall[{0}|origin=x]>=99%"), "has no column 'origin'"),
        (("--floor", "recall[{0}|source=x]>=99%"), "no row has 'x'"),
        (("--floor", "recall[{0}]@fpr=0.00001>=99%"), "dev is too small"),
        (("--floor", "recall[{0}]@fpr=0.1>=99%", "--threshold", "{0}=0.5"), "not both"),
        (
            ("--floor", "recall[{0}]@fpr=0.1>=99%", "--floor", "recall[{0}]@fpr=0.2>=99%"),
            "different rates",
        ),
    ],
)
def test_what_cannot_be_operated_is_refused_and_nothing_is_written(
    capsys: Capture, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    task, out = small_task(), tmp_path / "bundle"
    files = with_source(task, tmp_path)
    sets = [str(word) for name in files for word in (f"--{name}", files[name])]
    labels = json.loads((task.model / "config.json").read_text())["id2label"].values()
    label = next(label for label in labels if label != "normal")
    asked = [word.replace("{0}", label) for word in words]
    code = main(["compress", str(task.model), *sets, "--out", str(out), *asked, *QUICK])
    assert code in (2, 3)
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_several_labels_are_served_as_they_are_judged(capsys: Capture, tmp_path: Path) -> None:
    task, out = small_sets(), tmp_path / "bundle"
    floors = ("--floor", "macro_f1>=50%", "--floor", "recall[spam]>=0.1")
    result, _ = run_json(capsys, *task.words(out, *floors, *QUICK))
    assert result["verdict"] in ("holds", "unproven")
    labels = open_bundle(out).manifest.label_set
    assert labels.is_multi_label
    offline = predict(capsys, out, task.test)
    kept = result["answers"]["rows"]
    members = np.asarray(
        [[name in offline[row]["labels"] for name in labels.names] for row in kept]
    )
    codes = labels.encode_members(members)
    assert codes.tolist() == result["answers"]["chosen"]
    assert len(set(codes.tolist())) > 2
    compare(ask_served(out, task.test, 60), offline)
    tuned, _ = run_json(capsys, "tune", out, "--test", task.test, "--threads", "1")
    assert tuned["n"] == result["data"]["test"]
    verified, _ = run_json(capsys, "verify", out, "--evidence", "--data", task.test)
    assert verified["evidence"]["is_data_checked"]


def test_pairs_are_served_as_they_are_answered(capsys: Capture, tmp_path: Path) -> None:
    task, out = small_pairs(), tmp_path / "bundle"
    words = ("pack", task.model, "--out", out, "--threshold", "worse=0.2", "--threads", "1")
    run_json(capsys, *words)
    offline = predict(capsys, out, task.test)
    assert any(line["label"] != max(line["scores"], key=line["scores"].get) for line in offline)
    compare(ask_served(out, task.test, 60), offline)
