"""The shared options of every command, and the order flag > environment > file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from thinfer.cli.frame import Frame
from thinfer.cli.output import Output, RichProgress
from thinfer.core.progress import SilentProgress
from thinfer.errors import UserError


def run(seen: dict[str, Any], *argv: str) -> int:
    def fit(
        model: Annotated[str, typer.Argument()],
        epochs: Annotated[int, typer.Option()] = 1,
        floors: Annotated[list[str] | None, typer.Option("--floor")] = None,
        max_length: Annotated[int | None, typer.Option()] = None,
        resume: Annotated[bool, typer.Option("--resume")] = False,
        *,
        output: Output,
    ) -> None:
        """Fit.

        Args:
            model: not for the help.
        """
        seen.update(locals())

    def bare(threads: Annotated[int, typer.Option("--threads")] = 1) -> None:
        """Do nothing."""
        seen["threads"] = threads

    frame = Frame()
    frame.add("fit", fit)
    frame.add("bare-one", bare)
    with pytest.raises(SystemExit) as end:
        frame.app(list(argv))
    return int(end.value.code or 0)


def test_a_command_gets_its_values_and_its_output() -> None:
    seen: dict[str, Any] = {}
    assert run(seen, "fit", "base", "--epochs", "3", "--floor", "a>=1", "--floor", "b>=2") == 0
    assert (seen["model"], seen["epochs"], seen["floors"]) == ("base", 3, ["a>=1", "b>=2"])
    assert not seen["output"].is_json
    assert isinstance(seen["output"].progress, RichProgress)
    assert run(seen, "fit", "base", "--json", "--quiet") == 0
    assert seen["output"].is_json
    assert isinstance(seen["output"].progress, SilentProgress)


def test_a_command_need_not_want_an_output() -> None:
    seen: dict[str, Any] = {}
    assert run(seen, "bare-one", "--threads", "2", "--json") == 0
    assert seen == {"threads": 2}


def test_flags_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "thinfer.toml"
    config.write_text(
        "max-length = 64\njson = true\n"
        '[fit]\nepochs = 7\nfloor = ["x>=1"]\n[bare-one]\nthreads = 9\n'
    )
    seen: dict[str, Any] = {}
    words = ("fit", "base", "--config", str(config))
    run(seen, *words)
    assert (seen["epochs"], seen["floors"], seen["max_length"]) == (7, ["x>=1"], 64)
    assert seen["output"].is_json
    monkeypatch.setenv("THINFER_EPOCHS", "8")
    run(seen, *words)
    assert seen["epochs"] == 8
    monkeypatch.setenv("THINFER_FIT_EPOCHS", "9")
    run(seen, *words)
    assert seen["epochs"] == 9
    run(seen, *words, "--epochs", "10")
    assert seen["epochs"] == 10
    monkeypatch.setenv("THINFER_CONFIG", str(config))
    run(seen, "bare-one")
    assert seen["threads"] == 9
    monkeypatch.setenv("THINFER_RESUME", "1")
    run(seen, "fit", "base")
    assert seen["resume"] is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown names in the top.*epoch"),
        ("[fit]\nepoch = 3", r"unknown names in \[fit\]"),
        ("[fitt]\nepochs = 3", "unknown names in the tables"),
        ("[fit]\nconfig = 'x'", r"unknown names in \[fit\]"),
        ("epochs = ", "not TOML"),
    ],
)
def test_a_config_with_a_slip_is_refused(tmp_path: Path, text: str, message: str) -> None:
    config = tmp_path / "thinfer.toml"
    config.write_text(text)
    with pytest.raises(UserError, match=message):
        run({}, "fit", "base", "--config", str(config))


def test_an_absent_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        run({}, "fit", "base", "--config", str(tmp_path / "absent.toml"))


def test_a_value_of_the_wrong_kind_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "thinfer.toml"
    config.write_text("[fit]\nepochs = 'many'\n")
    assert run({}, "fit", "base", "--config", str(config)) == 2
    assert "epochs" in capsys.readouterr().err


def test_the_help_holds_the_docstring_without_its_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run({}, "fit", "--help") == 0
    text = capsys.readouterr().out
    assert "Fit." in text
    assert "not for the help" not in text
    assert all(flag in text for flag in ("--json", "--quiet", "--config", "--max-length"))
