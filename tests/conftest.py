"""What every test is kept away from: the user's own files."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Judgements of tests are not the user's: each test has a state folder of its own."""
    state = tmp_path_factory.getbasetemp() / "state" / tmp_path.name
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
