"""What every command shares: `--json`, `--quiet`, `--config`, and the order flag > env > file.

A command is a plain function with typer annotations. Where it has a parameter `output`, it is
given the `Output` of this run. Each of its options can also be set as `THINFER_<COMMAND>_<OPTION>`
or `THINFER_<OPTION>`, and in a TOML file: at the top for all commands, or below `[command]`.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo

from thinfer.cli.output import Output, RichProgress
from thinfer.core.progress import SilentProgress
from thinfer.errors import UserError

__all__ = ["Frame"]

SHARED_PANEL = "For every command"
JSON_HELP = "Print the result as one JSON object."
QUIET_HELP = "Show no progress and no notes."
CONFIG_HELP = "TOML file with options; flags and THINFER_* win over it."


class Frame:
    """The application, and which option of which command has which name."""

    def __init__(self) -> None:
        self.app = typer.Typer(
            no_args_is_help=True,
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )
        self._parameters: dict[str, dict[str, str]] = {}  # command → option → parameter

    def add(self, name: str, function: Callable[..., object]) -> None:
        """Make a function a command, with the shared options.

        Args:
            name: of the command.
            function: annotated for typer; its docstring is the help.
        """
        hints = get_type_hints(function, include_extras=True)
        own = inspect.signature(function).parameters
        wants_output = "output" in own and hints["output"] is Output
        options: dict[str, str] = {}
        parameters = []
        for parameter in own.values():
            if wants_output and parameter.name == "output":
                continue
            hint = _with_envvar(name, parameter.name, hints[parameter.name], options)
            parameters.append(_keyword(parameter.name, hint, parameter.default))
        shared = self._shared(name, options)
        self._parameters[name] = options

        def run(**values: Any) -> None:  # noqa: ANN401 - whatever the command declares
            is_json, is_quiet = values.pop("is_json"), values.pop("is_quiet")
            values.pop("config_file")
            if wants_output:
                progress = SilentProgress() if is_quiet else RichProgress()
                values["output"] = Output(is_json=is_json, progress=progress)
            function(**values)

        everything = [*parameters, *shared]
        run.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]  # typer reads it
        run.__annotations__ = {item.name: item.annotation for item in everything}
        run.__doc__ = function.__doc__
        summary = re.split(r"\n\n(?:Args|Raises):", inspect.getdoc(function) or "")[0]
        self.app.command(name, help=summary)(run)

    def _shared(self, name: str, options: dict[str, str]) -> list[inspect.Parameter]:
        def read_config(context: typer.Context, value: Path | None) -> Path | None:
            if value is not None:
                context.default_map = self._read_config(name, value)
            return value

        declared = {
            "is_json": (bool, typer.Option("--json", help=JSON_HELP), False),
            "is_quiet": (bool, typer.Option("--quiet", "-q", help=QUIET_HELP), False),
            "config_file": (
                Path | None,
                typer.Option("--config", help=CONFIG_HELP, callback=read_config, is_eager=True),
                None,
            ),
        }
        shared = []
        for key, (kind, option, default) in declared.items():
            option.rich_help_panel = SHARED_PANEL
            hint = _with_envvar(name, key, Annotated[kind, option], options)
            shared.append(_keyword(key, hint, default))
        return shared

    def _read_config(self, command: str, path: Path) -> dict[str, Any]:
        """Values by parameter name for one command, out of a TOML file."""
        body = _load_toml(path)
        every = set().union(*self._parameters.values()) - {"config"}
        tables = {key: value for key, value in body.items() if isinstance(value, Mapping)}
        top = {_plain(key): value for key, value in body.items() if key not in tables}
        _refuse_unknown(path, "the top", set(top), every)
        _refuse_unknown(path, "the tables", set(tables), set(self._parameters))
        own = self._parameters[command]
        table = {_plain(key): value for key, value in tables.get(command, {}).items()}
        _refuse_unknown(path, f"[{command}]", set(table), set(own) - {"config"})
        merged = {**{key: value for key, value in top.items() if key in own}, **table}
        return {own[key]: value for key, value in merged.items()}


def _keyword(name: str, hint: object, default: object) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=hint)


def _plain(option: str) -> str:
    """`--max-length` and `max-length` as `max_length`."""
    return option.lstrip("-").replace("-", "_").lower()


def _with_envvar(command: str, name: str, hint: Any, options: dict[str, str]) -> Any:  # noqa: ANN401 - type hints
    """Give an option its environment variables and note its name; anything else stays."""
    if get_origin(hint) is not Annotated:
        return hint
    kind, *extras = get_args(hint)
    found = [extra for extra in extras if isinstance(extra, OptionInfo)]
    if not found:
        return hint
    option = copy(found[0])
    # in an annotation, typer takes the first flag for the default
    flags = [
        flag for flag in (option.default, *(option.param_decls or ())) if flag not in (..., None)
    ]
    long = next((flag for flag in flags if str(flag).startswith("--")), name)
    key = _plain(str(long).partition("/")[0])
    options[key] = name
    option.envvar = [
        f"THINFER_{command.upper().replace('-', '_')}_{key.upper()}",
        f"THINFER_{key.upper()}",
    ]
    option.show_envvar = False
    return Annotated[kind, option]


def _load_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"the config file '{path}' cannot be read"
        raise UserError(what, got=error.strerror or str(error)) from error
    except ValueError as error:
        what = f"the config file '{path}' is not TOML"
        raise UserError(what, got=str(error)) from error


def _refuse_unknown(path: Path, where: str, found: set[str], known: set[str]) -> None:
    unknown = sorted(found - known)
    if unknown:
        what = f"the config file '{path}' has unknown names in {where}"
        raise UserError(what, expected=f"some of {sorted(known)}", got=str(unknown))
