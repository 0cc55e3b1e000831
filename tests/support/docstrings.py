"""What docstrings promise, held against the code, as functions of a source tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.support.source import Module, read_modules

Function = ast.FunctionDef | ast.AsyncFunctionDef
_RAISES = re.compile(r"^(?P<indent> *)Raises:\s*$", re.MULTILINE)
_ROOT_ERROR = "ThinferError"


def find_missing_docstrings(package: Path) -> list[str]:
    """Give modules and public functions, classes and methods that say nothing of themselves."""
    faults = []
    for module in read_modules(package).values():
        if ast.get_docstring(module.tree) is None:
            faults.append(module.name)
        faults += [name for name, node in _list_public(module) if ast.get_docstring(node) is None]
    return faults


def find_undocumented_raises(package: Path) -> list[str]:
    """Give public functions that raise an error of ours which their docstring does not name."""
    modules = read_modules(package)
    errors = _list_errors(modules.values())
    faults = []
    for module in modules.values():
        helpers = _list_helpers(module, errors)
        for name, node in _list_public(module):
            if isinstance(node, ast.ClassDef):
                continue
            documented = read_documented(ast.get_docstring(node) or "")
            raised = {_name_error(item, errors, helpers) for item in _own_raises(node.body)}
            missing = sorted(error for error in raised if error and error not in documented)
            faults += [f"{name} raises {error}" for error in missing]
    return faults


def read_documented(docstring: str) -> set[str]:
    """Give the classes that a `Raises:` section names, several before one colon included."""
    match = _RAISES.search(docstring)
    if match is None:
        return set()
    found: set[str] = set()
    step: int | None = None
    for line in docstring[match.end() :].lstrip("\n").splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent <= len(match["indent"]):
            break
        step = indent if step is None else step
        if line.strip() and indent == step:
            found |= set(re.findall(r"\w+", line.partition(":")[0]))
    return found


def _list_public(module: Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for node in module.tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield f"{module.name}.{node.name}", node
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, Function) and not item.name.startswith("_"):
                    yield f"{module.name}.{node.name}.{item.name}", item


def _list_errors(modules: Iterable[Module]) -> set[str]:
    """Give the root error and everything that descends from it, wherever it is defined."""
    classes = [
        node
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    ]
    found = {_ROOT_ERROR}
    for _ in classes:
        found |= {
            node.name
            for node in classes
            if {ast.unparse(base).split(".")[-1] for base in node.bases} & found
        }
    return found


def _list_helpers(module: Module, errors: set[str]) -> dict[str, str]:
    """Give functions and methods of this module that return an error, by their annotation."""
    found = {}
    for node in ast.walk(module.tree):
        if isinstance(node, Function) and node.returns is not None:
            returned = ast.unparse(node.returns).strip("'\"").split(".")[-1]
            if returned in errors:
                found[node.name] = returned
    return found


def _own_raises(body: Sequence[ast.AST]) -> Iterator[ast.Raise]:
    """Give the raise statements of a function, not those of functions within it."""
    for node in body:
        if isinstance(node, ast.Raise):
            yield node
        elif not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            yield from _own_raises(list(ast.iter_child_nodes(node)))


def _name_error(node: ast.Raise, errors: set[str], helpers: dict[str, str]) -> str | None:
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    if raised is None:
        return None
    name = ast.unparse(raised).split(".")[-1]
    return name if name in errors else helpers.get(name)
