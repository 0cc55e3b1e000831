"""The registry: by name, only what the bundle lists, and a reason where an engine is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle, small_architecture
from thinfer.core.cores import usable_cores
from thinfer.engine import available_engines, open_engine, open_engine_folder, registry
from thinfer.engine.base import EngineSpec
from thinfer.errors import DataError, EngineError, UserError
from thinfer.text.batch import Batch


def test_an_engine_opens_from_a_bundle_or_its_path(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle", options={"salt": 5})
    batch, logits = bundle.golden()
    for source in (bundle, bundle.path, str(bundle.path)):
        engine = open_engine(source, "fake", threads=1)
        assert (engine.run(batch) == logits).all()
        assert engine.info.threads == 1
        engine.close()
    assert open_engine(bundle).info.threads == usable_cores()


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    with pytest.raises(UserError, match="no engine 'warp'"):
        open_engine(bundle, "warp")
    with pytest.raises(EngineError, match="nothing for the engine 'onnxruntime'"):
        open_engine(bundle, "onnxruntime")
    with pytest.raises(UserError, match="threads"):
        open_engine(bundle, threads=0)
    (bundle.path / "README.md").unlink()
    with pytest.raises(DataError, match="README"):
        open_engine(bundle.path)


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "is_available", lambda name: name == "onnxruntime")
    reasons = available_engines()
    assert reasons["fake"] is None
    assert reasons["onnxruntime"] is None
    assert "thinfer[openvino]" in str(reasons["openvino"])
    assert "thinfer[compress]" in str(reasons["torch"])
    spec = EngineSpec(name="openvino", precision="fp32", files=())
    with pytest.raises(EngineError, match="not available here"):
        open_engine_folder(tmp_path, spec, small_architecture(), pad_id=0)


def test_a_candidate_folder_needs_no_bundle(tmp_path: Path) -> None:
    spec = EngineSpec(name="fake", precision="fp32", files=())
    engine = open_engine_folder(tmp_path, spec, small_architecture(), pad_id=0, threads=1)
    assert engine.run(Batch.from_sequences([[2, 3]])).shape == (1, 3)


def test_asking_for_engines_imports_none() -> None:
    script = (
        "import sys, thinfer.engine as e; e.available_engines();"
        "bad = {'torch', 'onnxruntime', 'openvino', 'transformers'} & set(sys.modules);"
        "raise SystemExit(str(bad) if bad else 0)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
