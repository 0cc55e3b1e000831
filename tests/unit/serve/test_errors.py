"""The table of statuses covers the whole tree, and an answer says whose fault it was."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import thinfer
from thinfer.errors import OverloadError, ThinferError
from thinfer.serve.errors import STATUS, DrainingError, answer_for

NAMES = {cls.__name__ for cls in STATUS}


def every_class(root: type[ThinferError]) -> set[type[ThinferError]]:
    return {root}.union(*(every_class(child) for child in root.__subclasses__()))


def test_every_error_class_of_the_tree_has_its_own_row() -> None:
    ours = {cls for cls in every_class(ThinferError) if cls.__module__.startswith("thinfer.")}
    assert ours == set(STATUS)


def test_no_other_file_grows_the_tree() -> None:
    """Read, not imported: the test above sees only classes of modules that are loaded."""
    root = Path(thinfer.__file__).parent
    homes = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in NAMES for base in node.bases)
    }
    assert homes == {"errors.py", "serve/errors.py"}


def test_a_class_that_is_not_in_the_table_takes_the_row_of_the_nearest_above() -> None:
    class StrangeError(DrainingError):
        pass

    assert answer_for(StrangeError("x", retry_after_s=1)) == STATUS[DrainingError]


@pytest.mark.parametrize(("cls", "answer"), STATUS.items())
def test_status_and_outcome_agree(cls: type[ThinferError], answer: object) -> None:
    row = STATUS[cls]
    assert row is answer
    allowed = {
        "invalid": {400, 404, 409, 415, 422},
        "refused": {401, 403, 408, 409, 413, 429, 503},
        "failed": {500, 503},
        "cancelled": {499},
    }
    assert row.status in allowed[row.outcome]


def test_load_is_never_a_server_error() -> None:
    assert STATUS[OverloadError].status == 429
