"""The source tree as data: modules, their syntax trees and what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "thinfer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One file; `name` is dotted, and a package's `__init__.py` has the package's name."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def unit(self) -> str:
        """The folder below the root package, or the file's own name where it has none."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One imported module; `function` is the innermost function around it, if any."""

    target: str
    line: int
    function: str | None
    is_typing: bool


def read_modules(package: Path) -> dict[str, Module]:
    """Give the modules of a package folder by name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        found[name] = Module(name=name, path=path, tree=tree)
    return found


def list_imports(module: Module, modules: dict[str, Module]) -> list[Import]:
    """Give what a module imports, `from package import submodule` as the submodule."""
    return list(_walk(module.tree, module, modules, None, is_typing=False))


def _walk(
    node: ast.AST,
    module: Module,
    modules: dict[str, Module],
    function: str | None,
    *,
    is_typing: bool,
) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inner, typing = function, is_typing
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = getattr(child, "name", "<lambda>")
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            typing = True
        for target in _targets(child, module, modules):
            line = getattr(child, "lineno", 0)
            yield Import(target=target, line=line, function=function, is_typing=is_typing)
        yield from _walk(child, module, modules, inner, is_typing=typing)


def _targets(node: ast.AST, module: Module, modules: dict[str, Module]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        up = module.name.split(".")
        up = up[: len(up) - node.level + (1 if module.is_package else 0)]
        base = ".".join([*up, base] if base else up)
    names = [f"{base}.{alias.name}" for alias in node.names]
    return sorted({name if name in modules else base for name in names})
