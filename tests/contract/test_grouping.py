"""Files of tests stay on one worker, or nothing is run."""

from types import SimpleNamespace

import pytest

from tests.conftest import pytest_xdist_node_collection_finished as check

GROUPED, LOOSE = ["a.py::test@a.py"], ["a.py::test"]


def node(dist: str) -> SimpleNamespace:
    return SimpleNamespace(config=SimpleNamespace(getoption=lambda name: {"dist": dist}[name]))


def test_a_run_that_would_tear_files_apart_is_refused() -> None:
    with pytest.raises(pytest.exit.Exception, match="does not see the groups"):
        check(node("loadgroup"), LOOSE)


@pytest.mark.parametrize(("dist", "ids"), [("loadgroup", GROUPED), ("load", LOOSE)])
def test_other_runs_go_on(dist: str, ids: list[str]) -> None:
    check(node(dist), ids)
