"""No file in git names a folder of the machine that it was written on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.promises import find_traces, list_tracked
from tests.support.source import ROOT


def test_tracked_files_name_no_folder_of_one_machine() -> None:
    files = list_tracked(ROOT)
    if not files:
        pytest.skip("not a git checkout")
    assert find_traces(files) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /wo" + "rk/main", True),
        ("path='/wo" + "rk/x'", True),
        ("cd /tm" + "p/w && ls", True),
        ("cd /tm" + "p/w/venv", True),
        ("https://example.org/network/work", False),
        ("../home/wo" + "rk/x", False),
        ("/tm" + "p/whatever", False),
        ("DIR.wo" + "rk/lock", False),
    ],
)
def test_traces_are_found(tmp_path: Path, text: str, found: bool) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(b"\xff\n" + text.encode())
    assert find_traces([path, tmp_path / "gone"]) == ([f"{path}:2"] if found else [])
