from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from thinfer.core import optional
from thinfer.core.optional import is_available, require
from thinfer.errors import EngineError


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setitem(optional.EXTRAS, "toy_lib", "toys")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_lib", raising=False)
    return tmp_path


def test_an_installed_library_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(optional.EXTRAS, "json", "toys")
    assert is_available("json")
    assert require("json") is json
    assert require("json.decoder") is json.decoder


def test_an_absent_library_is_told_with_its_extra(toy: Path) -> None:
    del toy
    assert not is_available("toy_lib")
    with pytest.raises(EngineError, match=r"pip install 'thinfer\[toys\]'"):
        require("toy_lib.part")


def test_a_library_that_fails_to_import_is_told_with_its_reason(toy: Path) -> None:
    (toy / "toy_lib.py").write_text("raise ImportError('libtoy.so is missing')")
    with pytest.raises(EngineError, match="is missing"):
        require("toy_lib")
