"""Health in every protocol's words: the same inference decides, and a stop shows everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.serving import serving

READY = ["/readyz", "/health", "/v2/health/ready", "/v2/models/bundle/ready"]
LIVE = ["/livez", "/v2/health/live"]


def test_ready_is_the_same_in_every_protocol(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        assert [harness.client.get(path).status_code for path in READY] == [200] * 4
        assert harness.client.get("/health").content == b""
        harness.engine.on_run = lambda batch: harness.classifier.logits(["a"]) * float("nan")
        answers = [harness.client.get(path) for path in READY]
        assert [answer.status_code for answer in answers] == [503] * 4
        assert all("readiness" in answer.json()["error"] for answer in answers)
        assert [harness.client.get(path).status_code for path in LIVE] == [200] * 2
        harness.engine.on_run = lambda batch: None
        harness.service.lifecycle.start_draining()
        assert [harness.client.get(path).status_code for path in READY] == [503] * 4
        assert [harness.client.get(path).status_code for path in LIVE] == [200] * 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_worker_is_not_live_in_any_protocol(tmp_path: Path) -> None:
    def die(batch: object) -> None:
        raise SystemExit

    with serving(tmp_path) as harness:
        harness.engine.on_run = die
        harness.client.get("/check?content=a")
        statuses = [harness.client.get(path).status_code for path in LIVE + READY]
        assert statuses == [503] * 6


def test_info_names_the_model_and_the_limits_of_long_texts(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"max_windows": 7, "window_overlap": 0.5}) as harness:
        info = harness.client.get("/info").json()
        assert info["name"] == "bundle"
        assert (info["limits"]["max_windows"], info["limits"]["window_overlap"]) == (7, 0.5)
