"""Where judgements are remembered: what was asked for, else the user's state folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from thinfer.cli.remembered import find_judgement_log


def test_what_was_asked_for_wins() -> None:
    assert find_judgement_log(Path("here.jsonl")) == Path("here.jsonl")


def test_the_state_folder_is_used_unless_it_is_relative(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert find_judgement_log(None) == Path("/var/state/thinfer/judgements.jsonl")
    for state in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", state)
        expected = tmp_path / ".local" / "state" / "thinfer" / "judgements.jsonl"
        assert find_judgement_log(None) == expected
