"""`thinfer tune`: the engines of a bundle measured and its floors proved again, here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_task import FLOORS, ROWS, files_below, small_run, small_task
from thinfer.bundle import LAYOUT, open_bundle, update_manifest
from thinfer.bundle.store import seal_of
from thinfer.cli.main import main
from thinfer.engine.registry import available_engines

pytest.importorskip("torch", reason="tune makes the engines' files anew")

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    shutil.copytree(small_run().out, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only ONNX Runtime, for speed."""
    others = {name: "not looked for in this test" for name in available_engines()}
    usable = {**others, "onnxruntime": None}
    monkeypatch.setattr("thinfer.pipeline.tune.available_engines", lambda: usable)


def tune(capsys: Capture, bundle: Path, test: Path, *more: str, code: int = 0) -> tuple[Any, str]:
    words = ["tune", str(bundle), "--test", str(test), "--threads", "1", "--json", *more]
    assert main(words) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if captured.out else None, captured.err


@pytest.mark.usefixtures("one_engine")
def test_the_bundle_is_rewritten_and_the_judgement_logged(capsys: Capture, bundle: Path) -> None:
    before = open_bundle(bundle)
    result, _ = tune(capsys, bundle, small_task().test)
    assert [floor["expr"] for floor in result["floors"]] == list(FLOORS)
    assert {item["engine"] for item in result["candidates"]} == {"onnxruntime"}
    assert all(item["texts_per_second"] > 0 for item in result["candidates"])
    assert result["n"] == ROWS[2]
    assert next(line for line in result["classes"] if line["label"] == "flagged")["trials"] > 0
    for side in ("original", "chosen"):
        assert result["calibration"][side]["rows"] == ROWS[2]
    after = open_bundle(bundle)
    assert after.manifest.architecture == before.manifest.architecture
    assert after.manifest.recipe == before.manifest.recipe
    chosen = next(entry for entry in after.manifest.engines if entry.chosen)
    assert chosen.precision == result["chosen"]["precision"]
    log = after.manifest.quality["judgements"]
    assert [entry["by"] for entry in log] == ["compress", "tune"]
    assert log[0]["test_digest"] == log[1]["test_digest"]
    assert log[0]["n"] == log[1]["n"]
    assert log[0]["answers"]
    assert result["has_evidence"]
    assert result["test_use"]["judged"] == len({entry["answers"] for entry in log})
    assert main(["verify", str(bundle), "--evidence", "--data", str(small_task().test)]) == 0
    # It can be tuned again.
    tune(capsys_drained(capsys), bundle, small_task().test)
    assert len(open_bundle(bundle).manifest.quality["judgements"]) == 3


def capsys_drained(capsys: Capture) -> Capture:
    capsys.readouterr()
    return capsys


@pytest.mark.usefixtures("one_engine")
def test_a_bundle_from_before_there_was_evidence_is_tuned_without(
    capsys: Capture, bundle: Path
) -> None:
    (bundle / LAYOUT.evidence).unlink()
    manifest = json.loads((bundle / LAYOUT.manifest).read_text(encoding="utf-8"))
    del manifest["files"][LAYOUT.evidence]
    raw = json.dumps(manifest).encode()
    (bundle / LAYOUT.manifest).write_bytes(raw)
    (bundle / LAYOUT.seal).write_bytes(seal_of(raw))
    result, _ = tune(capsys, bundle, small_task().test)
    assert result["has_evidence"] is False
    assert LAYOUT.evidence not in open_bundle(bundle).manifest.files


@pytest.mark.usefixtures("one_engine")
def test_a_broken_floor_is_4_and_the_bundle_stays(capsys: Capture, bundle: Path) -> None:
    opened = open_bundle(bundle)
    report = json.loads((bundle / LAYOUT.report).read_text(encoding="utf-8"))
    report["floors"] = [{"expr": "accuracy>=140%"}]
    update_manifest(opened, opened.manifest, files={LAYOUT.report: json.dumps(report).encode()})
    before = files_below(bundle)
    result, said = tune(capsys, bundle, small_task().test, code=4)
    assert result["verdict"] == "broken"
    assert result["is_rewritten"] is False
    assert "left as it is" in said
    assert files_below(bundle) == before


def test_another_file_than_the_judged_one_is_refused(capsys: Capture, bundle: Path) -> None:
    before = files_below(bundle)
    _, said = tune(capsys, bundle, small_task().dev, code=3)
    assert "is not the test file that the bundle was judged on" in said
    assert "expected" in said
    assert "got" in said
    assert files_below(bundle) == before


def test_a_packed_bundle_has_nothing_to_prove(capsys: Capture, tmp_path: Path) -> None:
    assert main(["pack", str(small_task().model), "--out", str(tmp_path / "packed")]) == 0
    _, said = tune(capsys_drained(capsys), tmp_path / "packed", small_task().test, code=3)
    assert "a packed one" in said
    assert "thinfer compress" in said


@pytest.mark.usefixtures("one_engine")
def test_engines_that_answer_otherwise_are_refused(
    capsys: Capture, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thinfer.pipeline.tune._AGREEMENT", 1.1)
    before = files_below(bundle)
    _, said = tune(capsys, bundle, small_task().test, code=5)
    assert "no engine here answers as the bundle does" in said
    assert files_below(bundle) == before
