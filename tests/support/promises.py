"""Promises between files that are not code: extras, the changelog, and what must not be said."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.source import read_modules

# Libraries whose distribution has another name than their module.
_DISTRIBUTIONS = {"opentelemetry": "opentelemetry-sdk", "sklearn": "scikit-learn"}
# In two parts, so that this file is not itself a trace.
_TRACES = re.compile("|".join(["(?<![\\w.])/" + "work/", "/tmp" + r"/w(?![\w-])"]).encode())
_VERSION = re.compile(r"^## \[?(\d+\.\d+\.\d+[^\]\s]*)", re.MULTILINE)


def find_broken_extras(extras: Mapping[str, str], pyproject: str) -> list[str]:
    """Give libraries whose extra does not exist or does not bring them."""
    declared = tomllib.loads(pyproject)["project"]["optional-dependencies"]
    faults = []
    for library, extra in extras.items():
        if extra not in declared:
            faults.append(f"{library}: there is no extra '{extra}'")
            continue
        brought = {re.split(r"[\s<>=!~;\[]", line, maxsplit=1)[0] for line in declared[extra]}
        if _DISTRIBUTIONS.get(library, library) not in brought:
            faults.append(f"{library}: the extra '{extra}' does not bring it")
    return faults


def list_required(package: Path) -> set[str]:
    """Give the libraries that the code asks the gate for, by their top name."""
    return {
        str(node.args[0].value).partition(".")[0]
        for module in read_modules(package).values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in ("require", "is_available")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def list_loaded(module: str, names: Iterable[str], *, path: Path | None = None) -> list[str]:
    """Import a module in a fresh interpreter and give which libraries came with it."""
    code = (
        "import importlib, sys; sys.path[:0] = sys.argv[3:]; importlib.import_module(sys.argv[1]);"
        "print(*[name for name in sys.argv[2].split() if name in sys.modules])"
    )
    more = [] if path is None else [str(path)]
    done = subprocess.run(
        [sys.executable, "-c", code, module, " ".join(names), *more],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def read_newest_version(changelog: str) -> str | None:
    """Give the version of the topmost entry that has one."""
    match = _VERSION.search(changelog)
    return None if match is None else match[1]


def list_tracked(root: Path) -> list[Path]:
    """Give the files that git tracks below a folder; none where it is no checkout."""
    done = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    return [root / name for name in done.stdout.split("\0") if name]


def find_traces(files: Iterable[Path]) -> list[str]:
    """Give places where a file names a folder of the machine that it was written on."""
    faults = []
    for path in files:
        if not path.is_file():
            continue  # removed in the work tree and not yet in git
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if _TRACES.search(line):
                faults.append(f"{path}:{number}")
    return faults
