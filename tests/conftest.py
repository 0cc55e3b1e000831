"""What every test is kept away from, the user's own files; and which tests stay together."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController


@pytest.fixture(autouse=True)
def own_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Judgements of tests are not the user's: each test has a state folder of its own."""
    state = tmp_path_factory.getbasetemp() / "state" / tmp_path.name
    monkeypatch.setenv("XDG_STATE_HOME", str(state))


def pytest_configure() -> None:
    """Give each of several workers a core of its own, before anything counts them.

    Two workers whose thread pools both believe in every core spend their time waiting for each
    other; engines and servers that a test starts inherit the core. They inherit as well that an
    interrupt is ignored, as in a shell's background: tests that interrupt them want it heard.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what shares an expensive fixture on one worker: a file, or those that share a build."""
    for item in items:
        build = "tools" in getattr(item, "fixturenames", ()) and item.path.parent.name == "native"
        shares = build and item.path.name != "test_sanitized.py"
        name = "native tools" if shares else str(item.path.relative_to(item.config.rootpath))
        item.add_marker(pytest.mark.xdist_group(name))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: WorkerController, ids: list[str]) -> None:
    """Refuse to go on where files would be torn apart: each half would build what both share."""
    if node.config.getoption("dist") == "loadgroup" and ids and "@" not in ids[0]:
        msg = "pytest-xdist does not see the groups of tests: is pytest too new? docs/why/06"
        pytest.exit(msg, returncode=pytest.ExitCode.USAGE_ERROR)
