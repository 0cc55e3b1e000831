"""Several processes as one service: one page of counters, one set of versions, and they heal."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.serving import Process, read_samples, serve_process, sum_samples

KEY = "the-admin-key-of-these-processes"


def admin(process: Process, method: str, path: str, body: object = None) -> tuple[int, Any]:
    link = process.connect()
    headers = {"authorization": f"Bearer {KEY}"}
    link.request(method, f"/admin/{path}", json.dumps(body), headers)
    answer = link.getresponse()
    found = (answer.status, json.load(answer))
    link.close()
    return found


def versions_of(process: Process, requests: int = 40) -> set[str]:
    """Names on answers over many connections, so that every worker is met."""
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: process.ask("GET", "/check?content=a"), range(requests)))
    assert {reply.status for reply in replies} == {200}
    return {reply.headers["x-thinfer-version"] for reply in replies}


def wait_for(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "admin.key"
    file.write_text(KEY)
    return file


def test_two_workers_count_together_switch_together_and_stop_in_order(
    tmp_path: Path, key: Path
) -> None:
    # Other weights and the same answers, so that no arm is stopped for differing.
    one, two = (make_fake_bundle(tmp_path / f"bundle-{seed}", seed=seed).path for seed in (1, 2))
    with serve_process(one, "--workers", "2", "--admin-key-file", str(key)) as process:
        workers = psutil.Process(process.popen.pid).children()
        assert len(workers) == 2
        assert versions_of(process, 60) == {process.version}
        scrape = process.ask("GET", "/metrics")
        assert scrape.headers["x-thinfer-version"] == process.version
        samples = read_samples(scrape.raw.decode())
        counted = sum_samples(samples, "thinfer_requests_total", 'route="/check"')
        assert counted == 60
        status, _ = admin(process, "POST", "versions", {"bundle": str(two)})
        assert status == 200
        (second,) = versions_of(process)
        assert second != process.version
        shares = {"versions": {process.version: 0.5, second: 0.5}}
        assert admin(process, "POST", "split", shares)[0] == 200
        assert versions_of(process) == {process.version, second}
        assert admin(process, "POST", "versions", {"bundle": str(tmp_path)})[0] == 422
        for _ in range(20):
            events = admin(process, "GET", "versions")[1]["events"]
            assert [event["kind"] for event in events][:3] == ["loaded", "switched", "split"]
        samples = read_samples(process.ask("GET", "/metrics").raw.decode())
        assert sum_samples(samples, "thinfer_swaps_total", 'event="switched"') == 1
        process.terminate()
        assert process.wait() == 0


def test_a_killed_worker_comes_back_with_the_present_versions(tmp_path: Path, key: Path) -> None:
    one, two = (
        make_fake_bundle(tmp_path / f"bundle-{salt}", options={"salt": salt}).path
        for salt in (1, 2)
    )
    with serve_process(one, "--workers", "2", "--admin-key-file", str(key)) as process:
        parent = psutil.Process(process.popen.pid)
        before = {worker.pid for worker in parent.children()}
        assert admin(process, "POST", "versions", {"bundle": str(two)})[0] == 200
        (second,) = versions_of(process)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: len({w.pid for w in parent.children()} - before) == 1)
        survivor = max(before)

        def answers_by_new() -> bool:
            samples = read_samples(process.ask("GET", "/metrics").raw.decode())
            return samples.get("process_max_fds", 0) > 0 and len(parent.children()) == 2

        wait_for(answers_by_new)
        os.kill(survivor, signal.SIGSTOP)  # only the new one can answer now
        try:
            wait_for(lambda: versions_of(process, 1) == {second})
        finally:
            os.kill(survivor, signal.SIGCONT)
        process.terminate()
        assert process.wait() == 0


def test_workers_end_when_the_process_that_started_them_is_gone(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle").path
    with serve_process(bundle, "--workers", "2") as process:
        workers = psutil.Process(process.popen.pid).children()
        process.popen.kill()
        gone, alive = psutil.wait_procs(workers, timeout=30)
        assert (len(gone), alive) == (2, [])


def test_workers_that_cannot_start_end_the_command(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="do not stay alive"),
        serve_process(tmp_path / "nothing", "--workers", "2"),
    ):
        pass
