"""The README is run: every command and every line of Python in it, from top to bottom."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fenced import Block, commands_of, read_blocks

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
BLOCKS = read_blocks(README)
# Not run here, because they take minutes or install; the tests below check what they name.
EXEMPT = {"make demo", "make test", 'pip install "thinfer[compress,openvino]"'}
COMMAND_LIMIT_S, READY_LIMIT_S = 420, 90


def _commands() -> list[str]:
    return [c for block in BLOCKS if block.language == "console" for c in commands_of(block)]


def test_exempt_commands_stand_in_the_readme_and_nothing_else_is_exempt() -> None:
    assert set(_commands()) >= EXEMPT
    assert all(not command.startswith(("make", "pip")) for command in set(_commands()) - EXEMPT)


@pytest.mark.parametrize("command", sorted(c for c in EXEMPT if c.startswith("make")))
def test_an_exempt_make_command_is_a_real_target(command: str) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    planned = subprocess.run(
        [make, "--dry-run", "--always-make", *command.split()[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert planned.returncode == 0, planned.stderr
    assert {"make demo": "thinfer demo", "make test": "pytest"}[command] in planned.stdout


def test_extras_that_the_readme_installs_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"thinfer\[([\w,]+)\]", README.read_text(encoding="utf-8"))
    assert named
    assert {name for part in named for name in part.split(",")} <= {
        *project["optional-dependencies"]
    }


def test_the_readme_names_every_command_of_the_tool() -> None:
    shown = _run_command(["thinfer", "--help"], ROOT)
    commands = set(re.findall(r"^\W*([a-z]+)\s{2,}\S", shown.split("Commands")[-1], re.MULTILINE))
    text = README.read_text(encoding="utf-8")
    assert {"compress", "serve", "demo"} <= commands
    assert not {name for name in commands if f"thinfer {name}" not in text and name != "demo"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from thinfer.text.moderation import write_moderation

    # enough for a teacher that flags something: without that no floor on it can hold
    write_moderation(tmp_path, seed=0, train=900, dev=160, test=240)
    return tmp_path


def test_the_readme_runs_from_top_to_bottom(folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    services: list[subprocess.Popen[bytes]] = []
    try:
        for block in BLOCKS:
            for command in _steps_of(block):
                ours = command.replace("8000", port).replace("curl -s", "curl -s --fail")
                if ours.endswith("&"):
                    services.append(_start(ours.removesuffix("&"), folder))
                    _wait_until_ready(port, services[-1])
                else:
                    argv = ["bash", "-c", ours] if block.language == "console" else [ours]
                    _run_command(argv, folder, where=f"README.md:{block.line}: {command}")
        assert services
        services[-1].terminate()
        assert services[-1].wait(60) == 0
    finally:
        for service in services:
            service.kill()
            service.wait()


def test_the_runner_refuses_a_command_that_fails(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"README\.md:1"):
        _run_command(["bash", "-c", "exit 3"], tmp_path, where="README.md:1: exit 3")
    with pytest.raises(pytest.fail.Exception, match="NameError"):
        _run_command(["undefined_name"], tmp_path, where="README.md:2: python")


def _steps_of(block: Block) -> Iterator[str]:
    if block.language == "python":
        yield block.code
    elif block.language == "console":
        yield from (command for command in commands_of(block) if command not in EXEMPT)


def _environment(home: Path) -> dict[str, str]:
    # The tool beside this Python is the one under test; nothing may be fetched.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "LANG") if name in os.environ}
    return {
        "PATH": path,
        "HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "120",
        "PYTHONDONTWRITEBYTECODE": "1",
        **kept,
    }


def _run_command(argv: list[str], folder: Path, where: str = "") -> str:
    """Run `thinfer …`, `bash -c …`, or Python source given alone."""
    if argv[0] not in {"bash", "thinfer"}:
        argv = [sys.executable, "-c", *argv]
    done = subprocess.run(
        argv,
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{where or argv}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def _start(command: str, folder: Path) -> subprocess.Popen[bytes]:
    log = (folder / "service.log").open("wb")
    with log:
        return subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=folder,
            env=_environment(folder),
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _wait_until_ready(port: str, service: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline and service.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    pytest.fail(f"the service did not become ready (exit {service.poll()})")
