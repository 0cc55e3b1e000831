"""The command line: a table of commands, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

import thinfer
from thinfer.cli.frame import Frame
from thinfer.cli.output import say_error
from thinfer.errors import InternalError, ThinferError

__all__ = ["COMMANDS", "build_app", "main"]

# In the order of the help. A command is one file here and one line in this table.
COMMANDS = {
    "fit": "thinfer.cli.fit:command",
    "compress": "thinfer.cli.compress:command",
    "pack": "thinfer.cli.pack:command",
    "evaluate": "thinfer.cli.evaluate:command",
    "tune": "thinfer.cli.tune:command",
    "audit": "thinfer.cli.audit:command",
    "fit-gate": "thinfer.cli.fit_gate:command",
    "calibrate-cascade": "thinfer.cli.calibrate_cascade:command",
    "bench": "thinfer.cli.bench:command",
    "demo": "thinfer.cli.demo:command",
    "predict": "thinfer.cli.predict:command",
    "serve": "thinfer.cli.serve:serve",
    "load": "thinfer.cli.load:command",
    "plan": "thinfer.cli.plan:command",
    "swap": "thinfer.cli.swap:command",
    "inspect": "thinfer.cli.inspect:command",
    "verify": "thinfer.cli.verify:command",
    "doctor": "thinfer.cli.doctor:command",
}

INTERRUPTED = 130

_LONGEST_SHOWN = 80  # characters of a path that is too long


def build_app() -> typer.Typer:
    """Give the application with all commands; their heavy imports wait until they run."""
    frame = Frame()
    for name, place in COMMANDS.items():
        module, _, function = place.partition(":")
        frame.add(name, getattr(import_module(module), function))

    frame.app.callback(help=thinfer.__doc__)(_root)
    return frame.app


def _print_version(value: bool) -> None:
    if value:
        print(f"thinfer {thinfer.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    del version


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after the program's name; those of this process when absent.

    Returns:
        The exit code; errors are told on stderr in one message.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a test has put its own stream
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        build_app()(args=None if argv is None else list(argv), prog_name="thinfer")
        code: object = 0
    except SystemExit as end:  # typer ends every run so, usage errors included
        code = end.code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except ThinferError as error:
        return _tell(error, error.exit_code)
    except BrokenPipeError:
        _drop_stdout()
        return 1
    except OSError as error:
        return _tell(error, 1, text=_describe(error))
    except Exception as error:  # the top: whatever it is, the user gets a message and a code
        return _tell(error, 1, text=f"internal error: {type(error).__name__}: {error}")
    if code == INTERRUPTED:
        say_error("interrupted")
    return _flush(code if isinstance(code, int) else 0)


def _tell(error: Exception, code: int, *, text: str | None = None) -> int:
    if os.environ.get("THINFER_DEBUG") == "1":
        traceback.print_exception(error)
    elif code == 1 and not isinstance(error, InternalError | OSError):
        text = f"{text or error}; run again with THINFER_DEBUG=1 to see where"
    say_error(text or str(error))
    return code


def _describe(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free space, then run again"
    if error.errno == errno.EFBIG:
        return "a file grows over the system's limit; raise the limit or free space, then run again"
    name = "" if error.filename is None else str(error.filename)
    if error.errno == errno.ENAMETOOLONG:
        shown = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…"
        return f"a path is too long; at {shown!r}; {len(name)} characters; give a shorter one"
    if error.strerror and name:
        return f"{error.strerror.lower()}; at {name!r}"
    return str(error)


def _flush(code: int) -> int:
    """Find out here that stdout is closed or full, where it can still be told."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
        return code or 1
    except OSError as error:
        return _tell(error, 1, text=_describe(error))
    return code


def _drop_stdout() -> None:
    """The reader has gone: the interpreter's own flush at exit must not complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
