"""`.ci/run` calls the README's test command and does not hide how it ended."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def _run(tmp_path: Path, lines: str, status: int) -> subprocess.CompletedProcess[str]:
    """Run the script with a `make` that only says how the tests went."""
    tools = {
        "make": f'echo "make $*"\nprintf "{lines}"\nexit {status}',
        "c++": "exit 0",
        "chromium": "exit 0",
        "python3": "exit 0",
        "apt-get": 'echo "apt-get must not be needed"\nexit 1',
    }
    for name, body in tools.items():
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        tool.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin"
    return subprocess.run(
        [str(ROOT / ".ci/run")], env={"PATH": path}, capture_output=True, text=True, check=False
    )


def test_the_closing_line_comes_last_and_success_is_success(tmp_path: Path) -> None:
    done = _run(tmp_path, "....\\n4 passed, 1 skipped in 1.50s\\nmake: nothing else\\n", 0)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "make test"
    assert done.stdout.splitlines()[-1] == "4 passed, 1 skipped in 1.50s"


def test_a_failure_is_a_failure_even_without_a_closing_line(tmp_path: Path) -> None:
    assert _run(tmp_path, "1 failed, 3 passed in 1.50s\\n", 2).returncode == 2
    assert _run(tmp_path, "pip could not install\\n", 2).returncode == 2


def test_the_readme_and_the_script_run_the_same_command() -> None:
    assert "\nmake test " in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "$ make test\n" in (ROOT / "README.md").read_text(encoding="utf-8")
