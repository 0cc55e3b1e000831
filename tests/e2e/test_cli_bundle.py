"""`thinfer inspect`, `verify` and `doctor` on a bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import make_fake_bundle
from thinfer.bundle import LAYOUT, EngineEntry, GoldenSet, update_manifest
from thinfer.cli.main import main
from thinfer.quality.operating import OperatingPoint

Capture = pytest.CaptureFixture[str]


def run_json(capsys: Capture, *words: object) -> dict[str, Any]:
    assert main([*map(str, words), "--json"]) == 0
    body: dict[str, Any] = json.loads(capsys.readouterr().out)
    return body


def test_inspect_tells_the_manifest(tmp_path: Path, capsys: Capture) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle", normal_label="normal")
    body = run_json(capsys, "inspect", bundle.path)
    assert body["kind"] == "thinfer.bundle"
    assert body["bundle_version"] == bundle.version == body["content_digest"][:12]
    assert body["size_bytes"] == bundle.size_bytes()
    assert body["labels"] == ["normal", "spam", "abuse"]
    quality = {"verdicts": [{"expr": "accuracy>=99%", "verdict": "holds", "reason": None}, "x"]}
    steps = ({"step": "vocabulary"}, {"step": "prune", "outcome": "refused", "reason": "why"})
    point = OperatingPoint(thresholds={"spam": 0.25}, priority=("spam",))
    told = replace(bundle.manifest, quality=quality, recipe=steps, operating=point)
    told = replace(told, content_digest=told.compute_content_digest())
    update_manifest(bundle, told)
    assert main(["inspect", str(bundle.path)]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("spam", "holds", "vocabulary", "fake"))
    assert "prune, refused: why" in text
    assert "spam from 0.2500, else the best score; first spam" in text


def test_verify_runs_the_engines_and_names_the_skipped(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    other = EngineEntry(name="openvino", precision="fp32", files=(LAYOUT.weights,))
    engines = (*bundle.manifest.engines, other)
    update_manifest(bundle, replace(bundle.manifest, engines=engines))
    monkeypatch.setattr("thinfer.engine.registry.is_available", lambda name: name != "openvino")
    body = run_json(capsys, "verify", bundle.path)
    assert body["ok"] is True
    rows = {row["name"]: row for row in body["engines"]}
    assert rows["fake"]["max_difference"] == 0
    assert "not installed" in rows["openvino"]["skipped"]
    assert main(["verify", str(bundle.path)]) == 0
    assert "is whole" in capsys.readouterr().out
    assert main(["verify", str(bundle.path), "--engine", "openvino"]) == 5
    assert "not available" in capsys.readouterr().err


def test_verify_refuses_damage_with_3_and_a_straying_engine_with_5(
    tmp_path: Path, capsys: Capture
) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    batch, logits = bundle.golden()
    golden = GoldenSet(batch=batch, logits=logits + 1).encode()
    update_manifest(bundle, bundle.manifest, files={LAYOUT.golden: golden})
    assert main(["verify", str(bundle.path)]) == 5
    assert "golden row 0" in capsys.readouterr().err
    (bundle.path / LAYOUT.report_page).write_bytes(b"<html>")
    assert main(["verify", str(bundle.path), "--json"]) == 3
    captured = capsys.readouterr()
    assert LAYOUT.report_page in captured.err
    assert captured.out == ""


def test_doctor_tells_what_works(capsys: Capture) -> None:
    pytest.importorskip("thinfer.measure.machine")
    body = run_json(capsys, "doctor")
    assert body["engines"]["fake"] is None
    assert body["threads"] >= 1
    assert body["machine"]
    assert {item["use"] for item in body["folders"]} == {"current folder", "temporary files"}
    assert main(["doctor"]) == 0
    assert "onnxruntime" in capsys.readouterr().out
