"""The service as a process: it answers, keeps to its cores, ends, and says why it did not start."""

from __future__ import annotations

import http.client
from pathlib import Path

import psutil
import pytest

from tests.support.bundles import make_fake_bundle
from thinfer.bench.served import own_cores, serve_bundle
from thinfer.errors import EngineError


def test_it_answers_on_cores_of_its_own_and_ends_with_the_block(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle").path
    with serve_bundle(bundle, threads=1) as served:
        link = http.client.HTTPConnection(served.target.host, served.target.port, timeout=30)
        link.request("GET", "/readyz")
        assert link.getresponse().status == 200
        link.close()
        assert served.cpu_seconds() > 0
        assert list(served.cores) == own_cores()[:1]
        if served.cores:
            assert tuple(served.process.cpu_affinity()) == served.cores
        pid = served.process.pid
    assert not psutil.pid_exists(pid)
    assert own_cores() == sorted(psutil.Process().cpu_affinity())


def test_a_bundle_that_cannot_be_served_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(EngineError, match=r"ended before.*nothing"),
        serve_bundle(tmp_path / "nothing", threads=1),
    ):
        pass
