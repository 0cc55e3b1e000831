"""`thinfer doctor`: what this machine and this installation can do."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thinfer import __version__
from thinfer.cli.output import Output, format_table

__all__ = ["command"]


def command(*, output: Output) -> None:
    """Show what works on this machine, and what does not and why."""
    from thinfer.core.cores import usable_cores
    from thinfer.engine import available_engines
    from thinfer.measure.machine import describe_machine

    folders = {"current folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    body: dict[str, Any] = {
        "thinfer": __version__,
        "python": platform.python_version(),
        "threads": usable_cores(),
        "machine": describe_machine(),
        "engines": available_engines(),
        "folders": [
            {"use": use, "path": str(path), "writable": os.access(path, os.W_OK | os.X_OK)}
            for use, path in folders.items()
        ],
    }
    output.result(body, lambda: _describe(body))


def _describe(body: Mapping[str, Any]) -> str:
    engines = format_table(
        ("engine", "usable", "why not"),
        [
            (name, "yes" if reason is None else "no", reason or "")
            for name, reason in body["engines"].items()
        ],
    )
    folders = format_table(
        ("folder", "writable", "path"),
        [
            (item["use"], "yes" if item["writable"] else "no", item["path"])
            for item in body["folders"]
        ],
    )
    facts = {key: body[key] for key in ("thinfer", "python", "threads")} | _flat(body["machine"])
    lines = format_table(("fact", "value"), list(facts.items()))
    return "\n\n".join([lines, engines, folders])


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in facts.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            many = isinstance(value, list | tuple)
            flat[f"{prefix}{key}"] = " ".join(map(str, value)) if many else str(value)
    return flat
