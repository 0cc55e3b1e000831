"""The rules of the house on imports, names and sizes, as functions of a source tree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.support.source import Import, Module, list_imports, read_modules

LEVELS = {
    "errors": -1,
    "core": 0,
    "quality": 1,
    "architecture": 1,
    "text": 1,
    "nn": 2,
    "bundle": 2,
    "compress": 3,
    "engine": 3,
    "export": 4,
    "classifier": 4,
    "measure": 4,
    "pipeline": 5,
    "bench": 5,
    "serve": 5,
    "cli": 6,
    "__main__": 7,
}
MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 60
MOST_PARAMETERS = 8
_DRAWER = re.compile(r"(^|_)(utils?|helpers?|common|misc)(_|$)")


def find_level_faults(package: Path) -> list[str]:
    """Give imports that go up, sideways, or to a folder without a level."""
    modules = read_modules(package)
    faults = []
    for module in modules.values():
        if module.name == package.name:
            continue  # the lazy name table: its imports are for type checkers alone
        for item in list_imports(module, modules):
            parts = item.target.split(".")
            if parts[0] != package.name or len(parts) == 1:
                continue
            fault = _judge_levels(module.unit, parts[1])
            if fault is not None:
                faults.append(f"{module.name}:{item.line} imports {item.target}: {fault}")
    return faults


def _judge_levels(here: str, there: str) -> str | None:
    if here not in LEVELS or there not in LEVELS:
        return f"{here if here not in LEVELS else there} has no level"
    if here == there or LEVELS[there] < LEVELS[here]:
        return None
    return "sideways" if LEVELS[there] == LEVELS[here] else "upwards"


def find_cycles(package: Path) -> list[str]:
    """Give files that import each other in a ring, each ring once."""
    modules = read_modules(package)
    arrows = {
        name: sorted(
            {
                item.target
                for item in list_imports(module, modules)
                if item.target in modules and not item.is_typing and item.function is None
            }
        )
        for name, module in modules.items()
    }
    rings: dict[frozenset[str], str] = {}
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            ring = trail[trail.index(name) :]
            rings.setdefault(frozenset(ring), " → ".join([*ring, name]))
            return
        if name in done:
            return
        for target in arrows[name]:
            visit(target, [*trail, name])
        done.add(name)

    for name in arrows:
        visit(name, [])
    return sorted(rings.values())


def find_hidden_imports(package: Path) -> list[str]:
    """Give imports inside functions, and calls that import by name, where none may be."""
    modules = read_modules(package)
    faults = []
    for module in modules.values():
        hidden = [item for item in list_imports(module, modules) if item.function is not None]
        faults += [
            f"{module.name}:{item.line} imports {item.target} inside {item.function}"
            for item in hidden
            if not _may_hide(module, item)
        ]
        if _may_load(module):
            continue
        faults += [
            f"{module.name}:{node.lineno} imports by name with {ast.unparse(node.func)}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
        ]
    return faults


def _may_load(module: Module) -> bool:
    below = module.name.partition(".")[2]
    return module.is_package or below in ("core.optional", "engine.registry") or _is_cli(module)


def _may_hide(module: Module, item: Import) -> bool:
    if module.unit == "engine" and item.function == "__init__":
        return True  # an engine's constructor loads what that engine alone needs
    return _may_load(module)


def _is_cli(module: Module) -> bool:
    return module.unit == "cli"


def find_drawers(package: Path) -> list[str]:
    """Give files and folders whose name says nothing about what is in them."""
    paths = [path for path in sorted(package.rglob("*")) if "__pycache__" not in path.parts]
    named = [path for path in paths if path.is_dir() or path.suffix == ".py"]
    return [str(path.relative_to(package)) for path in named if _DRAWER.search(path.stem)]


def find_sprawl(package: Path) -> list[str]:
    """Give files, functions and parameter lists above the hard limits."""
    faults = []
    for module in read_modules(package).values():
        lines = len(module.path.read_text(encoding="utf-8").splitlines())
        if lines > MOST_FILE_LINES:
            faults.append(f"{module.name} has {lines} lines")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                faults += [f"{module.name}.{node.name} {fault}" for fault in _measure(node, module)]
    return faults


def _measure(node: ast.FunctionDef | ast.AsyncFunctionDef, module: Module) -> list[str]:
    faults = []
    # A docstring costs nobody anything, and of a command each option is a parameter.
    code = node.body[1:] if ast.get_docstring(node) is not None else node.body
    said = code[0].lineno - node.body[0].lineno if code else 0
    first = node.body[0].lineno if _is_cli(module) else node.lineno
    lines = (node.end_lineno or node.lineno) - first + 1 - said
    if lines > MOST_FUNCTION_LINES:
        faults.append(f"has {lines} lines")
    names = [item.arg for item in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    count = len([name for name in names if name not in ("self", "cls")])
    if count > MOST_PARAMETERS and not _is_cli(module):
        faults.append(f"has {count} parameters")
    return faults
