"""Errors become one message on stderr and an exit code; heavy libraries wait."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable

import pytest
import typer

from thinfer.cli import main as main_module
from thinfer.cli.frame import Frame
from thinfer.cli.main import COMMANDS, main
from thinfer.errors import (
    DataError,
    EngineError,
    InternalError,
    OverloadError,
    QualityError,
    ThinferError,
    UserError,
)


@pytest.fixture
def fail_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    def run(error: BaseException) -> int:
        def command() -> None:
            raise error

        def build() -> typer.Typer:
            frame = Frame()
            frame.add("one", command)
            frame.add("two", command)
            return frame.app

        monkeypatch.setattr(main_module, "build_app", build)
        return main(["one"])

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("u", do="this"), 2),
        (DataError("d"), 3),
        (QualityError("q"), 4),
        (EngineError("e"), 5),
        (OverloadError("o", retry_after_s=1), 5),
        (InternalError("i"), 1),
        (ThinferError("t"), 1),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1),
        (ValueError("v"), 1),
        (MemoryError(), 1),
        (RecursionError("r"), 1),
    ],
)
def test_every_error_has_its_code_and_one_message(
    fail_with: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
) -> None:
    assert fail_with(error) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    if isinstance(error, ThinferError):
        assert str(error) in captured.err
    if isinstance(error, ValueError):
        assert "internal error: ValueError: v" in captured.err
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        assert "disk is full" in captured.err


@pytest.mark.parametrize(
    "argv",
    [
        "evaluate MODEL --data d",
        "compress MODEL --train t --dev d --test t --floor accuracy>=99% --out o",
    ],
)
def test_a_path_that_is_too_long_is_told_without_being_repeated_whole(
    argv: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv.replace("MODEL", "n" * 300).split()) != 0
    told = capsys.readouterr().err
    assert "too long" in told
    assert "Errno" not in told
    assert "n" * 200 not in told


def test_what_the_system_refuses_is_told_with_its_path(
    fail_with: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail_with(PermissionError(errno.EACCES, "Permission denied", "/x")) == 1
    assert capsys.readouterr().err == "thinfer: permission denied; at '/x'\n"


def test_an_interrupt_is_130(
    fail_with: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail_with(KeyboardInterrupt()) == 130
    assert "interrupted" in capsys.readouterr().err


def test_the_traceback_is_there_when_it_is_asked_for(
    fail_with: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THINFER_DEBUG", "1")
    assert fail_with(ValueError("v")) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["bogus"], ["predict"], ["predict", "b", "--bogus"]])
def test_a_wrong_command_line_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "Usage" in "".join(capsys.readouterr())


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("thinfer 0.")
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_shared_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert all(flag in text for flag in ("--json", "--quiet", "--config"))


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from thinfer.cli.main import main; main(['--help']);"
        "bad = {'torch', 'onnx', 'onnxruntime', 'openvino', 'transformers', 'fastapi', 'sklearn'};"
        "bad &= set(sys.modules); raise SystemExit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "thinfer", "--version"], check=False, capture_output=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"thinfer ")
