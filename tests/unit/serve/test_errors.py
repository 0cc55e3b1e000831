"""The table of statuses covers the whole tree, and an answer says whose fault it was."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import thinfer
from thinfer.core.optional import EXTRAS
from thinfer.errors import OverloadError, ThinferError
from thinfer.serve.errors import STATUS, DrainingError, answer_for


def every_class(root: type[ThinferError]) -> set[type[ThinferError]]:
    return {root}.union(*(every_class(child) for child in root.__subclasses__()))


def import_serving() -> None:
    """Import all that a serving process may hold, so that its error classes exist."""
    for module in pkgutil.walk_packages(thinfer.__path__, "thinfer."):
        if module.name.split(".")[1] in {"core", "text", "bundle", "engine", "serve"}:
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                assert (error.name or "").partition(".")[0] in EXTRAS


def test_every_error_class_of_the_tree_has_its_own_row() -> None:
    import_serving()
    ours = {cls for cls in every_class(ThinferError) if cls.__module__.startswith("thinfer.")}
    assert ours == set(STATUS)


def test_a_class_that_is_not_in_the_table_takes_the_row_of_the_nearest_above() -> None:
    class StrangeError(DrainingError):
        pass

    assert answer_for(StrangeError("x", retry_after_s=1)) == STATUS[DrainingError]


@pytest.mark.parametrize(("cls", "answer"), STATUS.items())
def test_status_and_outcome_agree(cls: type[ThinferError], answer: object) -> None:
    row = STATUS[cls]
    assert row is answer
    allowed = {
        "invalid": {400, 415, 422},
        "refused": {408, 413, 429, 503},
        "failed": {500, 503},
        "cancelled": {499},
    }
    assert row.status in allowed[row.outcome]


def test_load_is_never_a_server_error() -> None:
    assert STATUS[OverloadError].status == 429
