"""What several files of these tests need, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.native_build import build_tools


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with `classify`, which has the tile unit in plain C++ as well."""
    return build_tools(tmp_path_factory.mktemp("tools"), THINFER_EMULATED_TILES="ON")
