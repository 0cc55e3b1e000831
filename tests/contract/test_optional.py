"""A message that names an extra names one that exists and brings the library."""

from __future__ import annotations

from pathlib import Path

from tests.support.promises import find_broken_extras, list_required
from tests.support.source import PACKAGE, ROOT
from thinfer.core.optional import EXTRAS


def test_every_extra_exists_and_brings_its_library() -> None:
    assert find_broken_extras(EXTRAS, (ROOT / "pyproject.toml").read_text(encoding="utf-8")) == []


def test_every_library_that_code_asks_for_has_an_extra() -> None:
    required = list_required(PACKAGE)
    assert required
    assert required <= set(EXTRAS)


def test_broken_extras_are_refused() -> None:
    pyproject = '[project.optional-dependencies]\nlearn = ["scikit-learn>=1", "torchvision"]\n'
    extras = {"sklearn": "learn", "torch": "learn", "onnx": "compres"}
    assert find_broken_extras(extras, pyproject) == [
        "torch: the extra 'learn' does not bring it",
        "onnx: there is no extra 'compres'",
    ]


def test_libraries_asked_for_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = require('onnx.helper')\nif optional.is_available('ray'): y")
    assert list_required(tmp_path) == {"onnx", "ray"}
