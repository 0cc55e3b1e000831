"""`thinfer compress` from the command line on a tiny model: result, bundle, verdicts."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_task import (
    FLOORS,
    QUICK,
    ROWS,
    asking,
    files_below,
    half_written,
    run_thinfer,
    small_run,
    small_task,
)
from thinfer.bundle import open_bundle
from thinfer.classifier import Classifier
from thinfer.cli.main import main

pytest.importorskip("torch", reason="compress needs torch")

Capture = pytest.CaptureFixture[str]
FORM = {
    "name", "engine", "precision", "architecture", "size_bytes", "peak_rss_bytes", "dev_metrics",
    "texts_per_second", "latency_ms", "speedup", "latency_ratio",
}  # fmt: skip


def ask(capsys: Capture, *words: str, code: int = 0) -> tuple[dict[str, Any], str]:
    assert main([*words, "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_the_result_says_all_that_was_promised() -> None:
    result = small_run().result
    assert result["bundle"] == str(small_run().out)
    assert result["verdict"] in ("holds", "unproven")
    assert [floor["expr"] for floor in result["floors"]] == list(FLOORS)
    for floor in result["floors"]:
        assert {"original", "value", "interval", "verdict", "rows_needed"} <= set(floor)
    for end in ("original", "chosen", "baseline"):
        assert set(result[end]) >= {*FORM, "metrics"}
        assert 0 < result[end]["metrics"]["accuracy"] < 1
        assert result[end]["metrics"]["flagged_recall"] is not None
    assert result["original"]["name"] == "original-fp32"
    assert result["baseline"]["name"] == "transformers-fp32"
    assert result["original"]["speedup"] == pytest.approx(1)
    assert result["speedup"] == result["chosen"]["speedup"]
    assert result["latency_ratio"] == result["chosen"]["latency_ratio"]
    assert result["chosen"]["name"] in {item["name"] for item in result["candidates"]}
    assert result["data"]["test"] == ROWS[2]
    assert result["seconds"] > 0
    assert "--floor" in result["command"]


def test_candidates_are_measured_on_dev_and_never_on_test() -> None:
    result = small_run().result
    names = [item["name"] for item in result["candidates"]]
    assert names[:2] == ["dense-onnxruntime-fp32", "dense-onnxruntime-int8"]
    assert any(name.startswith("width-1-2-") for name in names)
    for item in result["candidates"]:
        assert set(item) >= {*FORM, "refused"}
        assert "metrics" not in item
        assert item["dev_metrics"]["n"] == ROWS[1]
        assert item["parity"]["rows"] == ROWS[1]
    dense, narrow = result["candidates"][0], result["candidates"][-1]
    # Predicted from the dense form of the engine and precision that the table was measured in:
    # the faster one of that moment, which need not be a form that the narrow state was given.
    prices = json.loads(small_run().prices.read_text(encoding="utf-8"))
    for item in result["candidates"]:
        in_table = (item["engine"], item["precision"]) == (prices["engine"], prices["precision"])
        expected = in_table and item["name"].startswith("width-1-2-") and not item["kept_fp32"]
        assert (item["predicted_latency_ms"] is not None) == expected, item["name"]
        assert not expected or item["predicted_latency_ms"] > 0
    assert narrow["macs"] < dense["macs"]
    assert narrow["size_bytes"] < dense["size_bytes"] < result["original"]["size_bytes"]


def test_the_factors_multiply_to_the_speedup_of_the_chosen_one() -> None:
    result = small_run().result
    names = [factor["name"] for factor in result["factors"]]
    assert names == ["length handling", "vocabulary", "engine", "precision", "depth", "width"]
    product = math.prod(factor["factor"] for factor in result["factors"])
    assert product == pytest.approx(result["speedup"])


def test_the_bundle_opens_verifies_and_carries_its_report(capsys: Capture) -> None:
    run = small_run()
    bundle = open_bundle(run.out)
    assert bundle.version == run.result["version"]
    page = (run.out / "report.html").read_text(encoding="utf-8")
    assert all(item["name"] in page for item in run.result["candidates"])
    stored = json.loads((run.out / "report.json").read_text(encoding="utf-8"))
    assert stored["floors"] == run.result["floors"]
    profile = bundle.profile()
    assert profile is not None
    assert (profile.source, profile.texts, profile.labels) == (
        "dev",
        ROWS[1],
        bundle.manifest.labels,
    )
    quality = bundle.manifest.quality
    assert quality["verdict"] == run.result["verdict"]
    assert not quality["is_best_so_far"]
    log = quality["judgements"]
    assert [(entry["by"], entry["n"]) for entry in log] == [("compress", ROWS[2])]
    verified, _ = ask(capsys, "verify", str(run.out))
    assert verified["ok"] is True
    assert "onnxruntime" in {engine["name"] for engine in verified["engines"]}


def test_the_verdict_comes_out_of_the_evidence_again(capsys: Capture) -> None:
    run, task = small_run(), small_task()
    words = ("verify", str(run.out), "--evidence")
    proof = ask(capsys, *words, "--data", str(task.test))[0]["evidence"]
    assert (proof["rows"], proof["verdict"]) == (ROWS[2], run.result["verdict"])
    assert (proof["floors"], proof["is_data_checked"]) == (len(FLOORS), True)
    assert main([*words, "--data", str(task.dev)]) == 3
    assert "is not the test file" in capsys.readouterr().err
    assert main(["verify", str(run.out), "--data", str(task.test)]) == 2
    assert "--evidence" in capsys.readouterr().err


def test_each_judgement_of_a_test_set_is_remembered(tmp_path: Path) -> None:
    known = small_run()
    entry = known.result["judgements"][0]
    assert known.result["test_use"]["judged"] == 1
    log = tmp_path / "log.jsonl"
    others = [{**entry, "answers": f"other {number}"} for number in range(4)]
    log.write_text("".join(json.dumps(item) + "\n" for item in others), encoding="utf-8")
    out = tmp_path / "bundle"
    words = (*asking(FLOORS), *QUICK, "--latency-table", str(known.prices))
    done = run_thinfer(
        *small_task().words(out, *words), "--judgement-log", str(log), "--json", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["test_use"]["judged"] == 5
    assert any("worn out" in text for text in result["warnings"])
    assert "worn out" in (out / "report.html").read_text(encoding="utf-8")
    assert open_bundle(out).manifest.quality["test_use"]["is_worn"]
    written = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [item["by"] for item in written[4:]] == ["compress"]
    assert str(tmp_path) not in log.read_text(encoding="utf-8")


def test_the_bundle_carries_no_text_of_the_user() -> None:
    texts = [line.split(",")[0] for line in small_task().test.read_text().splitlines()[1:40]]
    long = [text for text in texts if len(text) > 12]
    stored = files_below(small_run().out)
    assert long
    assert not [name for name, raw in stored.items() for text in long if text.encode() in raw]


def test_the_service_side_answers_as_the_report_says() -> None:
    run, task = small_run(), small_task()
    # As many threads as in the run: how a batch is split decides the scales of dynamic INT8.
    words = ("evaluate", run.out, "--data", task.test, "--threads", "1", "--json")
    evaluated = run_thinfer(*words)
    assert evaluated.returncode == 0, evaluated.stderr
    told = json.loads(evaluated.stdout)
    assert told["metrics"]["accuracy"] == run.result["chosen"]["metrics"]["accuracy"]
    assert told["metrics"]["flagged_recall"] == run.result["chosen"]["metrics"]["flagged_recall"]
    with Classifier.open(run.out) as classifier:
        assert classifier.predict(["加我领取免费金币"])[0].label in classifier.labels


def test_the_terminal_hears_our_own_words_alone() -> None:
    said = small_run().said
    assert "Traceback" not in said
    assert "Warning" not in said
    assert "%|" not in said
    assert "Loading weights" not in said
    assert "chosen on dev: " in said
    assert len(said.splitlines()) < 40


def test_a_repeated_run_makes_the_same_candidates_and_continues_the_log(tmp_path: Path) -> None:
    run, task = small_run(), small_task()
    out = tmp_path / "bundle"
    shutil.copytree(run.out, out)
    prices = ("--latency-table", str(run.prices))
    # A process of its own like the first: as many threads sum in the same order.
    done = run_thinfer(*task.words(out, *asking(FLOORS), *QUICK, *prices), "--json")
    assert done.returncode == 0, done.stderr
    first, second = (
        {
            name: raw
            for name, raw in files_below(Path(f"{place}.work") / "candidates").items()
            if name.endswith((".onnx", "tokenizer.json", "architecture.json", "dev.npy"))
        }
        for place in (run.out, out)
    )
    common = first.keys() & second.keys()
    tried = [item["name"] for item in run.result["candidates"]]
    assert {f"{name}/dev.npy" for name in tried} <= common
    assert {f"{name}/model.onnx" for name in tried} <= common
    assert [name for name in sorted(common) if first[name] != second[name]] == []
    assert len(json.loads(done.stdout)["judgements"]) == 2
    assert half_written(tmp_path) == []


def test_a_floor_that_nothing_holds_is_4_and_the_best_so_far_is_kept(
    capsys: Capture, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    words = small_task().words(out, *asking(["accuracy>=150%"]), *QUICK)
    result, said = ask(capsys, *words, code=4)
    assert result["verdict"] == "broken"
    assert result["is_best_so_far"] is True
    assert result["chosen"]["refused"].startswith("on dev")
    assert "best so far" in result["warnings"][0]
    assert "no candidate holds the quality floor" in said
    assert str(out) in said
    assert open_bundle(out).manifest.quality["is_best_so_far"] is True
    assert "Best so far" in (out / "README.md").read_text()
    # Nothing clears it, so it is the least compressed one.
    assert result["chosen"]["macs"] == max(item["macs"] for item in result["candidates"])
    # Tuning proves the floor again, finds it broken, and leaves the bundle as it is.
    before = files_below(out)
    tuned, said = ask(capsys, "tune", str(out), "--test", str(small_task().test), code=4)
    assert tuned["verdict"] == "broken"
    assert tuned["is_rewritten"] is False
    assert "left as it is" in said
    assert files_below(out) == before


def test_an_unproven_floor_is_0_and_with_require_proof_4(capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    # A cut so small that it loses no row or one: more rows could prove the floor, these cannot.
    quick = ("--engine", "onnxruntime", "--precision", "fp32", "--widths", "9/10")
    words = small_task().words(out, "--floor", "accuracy>=97.5%", *quick)
    result, _ = ask(capsys, *words)
    assert result["verdict"] == "unproven"
    assert result["floors"][0]["rows_needed"] > ROWS[2]
    candidates = tmp_path / "bundle.work" / "candidates"
    times = {path: path.stat().st_mtime_ns for path in candidates.rglob("*") if path.is_file()}
    again, said = ask(capsys, *words, "--resume", "--require-proof", code=4)
    assert again["verdict"] == "unproven"
    assert "test rows" in said
    assert str(out) in said
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert open_bundle(out).version == again["version"]


def test_leaked_rows_are_reported_and_left_out_of_test(capsys: Capture, tmp_path: Path) -> None:
    task, out = small_task(), tmp_path / "bundle"
    test = tmp_path / "test.csv"
    leaked = "".join(task.train.read_text(encoding="utf-8").splitlines(keepends=True)[1:6])
    test.write_text(task.test.read_text(encoding="utf-8") + leaked, encoding="utf-8")
    words = ["compress", str(task.model), "--train", str(task.train), "--dev", str(task.dev)]
    quick = ("--engine", "onnxruntime", "--precision", "int8", "--widths", "1/2", "--threads", "1")
    words += ["--test", str(test), "--out", str(out), "--floor", "accuracy>=50%", *quick]
    result, _ = ask(capsys, *words)
    assert result["data"]["leaked"] == 5
    assert result["data"]["test"] == ROWS[2]
    assert any("5 test rows" in warning for warning in result["warnings"])
    assert set(result["answers"]["rows"]) == set(range(ROWS[2]))


def test_people_get_a_table() -> None:
    from thinfer.cli.compress import describe_result

    told = describe_result(small_run().result)
    assert "original-fp32" in told
    assert all(floor in told for floor in FLOORS)
    assert len([line for line in told.splitlines() if line.startswith("note:")]) <= 4
