"""Serving and predicting carry no library that they do not use, seen from a fresh process."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.promises import list_loaded

HEAVY = ("torch", "transformers", "onnx", "openvino", "nncf", "sklearn", "pyarrow")
LIGHT_MODULES = (
    "thinfer.bench.plan",
    "thinfer.bundle.store",
    "thinfer.classifier",
    "thinfer.cli.main",
    "thinfer.engine",
    "thinfer.measure.machine",
    "thinfer.quality",
    "thinfer.serve.app",
    "thinfer.text",
)


def test_the_package_itself_loads_no_engine() -> None:
    assert list_loaded("thinfer", (*HEAVY, "onnxruntime", "numpy")) == []


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_serving_and_predicting_never_load_torch(module: str) -> None:
    assert find_spec(module) is not None
    assert list_loaded(module, HEAVY) == []


def test_a_heavy_import_is_seen(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "innocent.py").write_text("import deeper")
    (tmp_path / "deeper.py").write_text("import torch")
    assert list_loaded("innocent", HEAVY, path=tmp_path) == ["torch"]
    assert list_loaded("json", HEAVY, path=tmp_path) == []
