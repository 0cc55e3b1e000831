"""Stopping loses nothing: not ready first, what is in flight is answered, then exit 0."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.serving import Process, Reply, read_samples, serve_process
from thinfer.classifier import Classifier


def make_slow_bundle(folder: Path, latency_ms: float) -> Path:
    return make_fake_bundle(folder / "bundle", options={"latency_ms": latency_ms}).path


def start_requests(server: Process, pool: ThreadPoolExecutor, count: int) -> list[Future[Reply]]:
    """Send requests, and return when the server has them all."""
    futures = [pool.submit(server.ask, "GET", f"/check?content={i}") for i in range(count)]
    pause = threading.Event()
    for _ in range(1000):
        samples = read_samples(server.ask("GET", "/metrics").raw.decode())
        if samples["thinfer_requests_in_flight"] == count + 1:  # and the scrape itself
            return futures
        pause.wait(0.01)
    message = "the requests did not arrive"
    raise AssertionError(message)


def test_requests_in_flight_are_answered_and_new_ones_refused(tmp_path: Path) -> None:
    bundle = make_slow_bundle(tmp_path, 700)
    with Classifier.open(bundle) as classifier:
        expected = [answer.label for answer in classifier.predict([str(i) for i in range(8)])]
    with serve_process(bundle) as server, ThreadPoolExecutor(8) as pool:
        futures = start_requests(server, pool, 8)
        server.terminate()
        while (ready := server.ask("GET", "/readyz")).status == 200:
            pass  # the signal is on its way
        assert (ready.status, ready.body["error_type"]) == (503, "draining")
        refused = server.ask("POST", "/check", {"content": "new"})
        assert refused.status == 503
        assert refused.headers["connection"] == "close"
        assert refused.headers["retry-after"]
        assert server.ask("GET", "/livez").status == 200
        replies = [future.result() for future in futures]
        assert [reply.status for reply in replies] == [200] * 8
        assert [reply.body["result"] for reply in replies] == expected
        assert server.wait() == 0


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_under_load_every_request_is_answered_rightly_or_refused(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    bundle = make_slow_bundle(tmp_path, 5)
    with Classifier.open(bundle) as classifier:
        expected = [answer.label for answer in classifier.predict([str(i) for i in range(50)])]
    asked = threading.Event()
    answered: list[int] = []

    def ask(worker: int, server: Process) -> int:
        """Ask until the first refusal; a connection that breaks fails the test."""
        for number in range(worker, 100_000, 8):
            reply = server.ask("GET", f"/check?content={number % 50}")
            if reply.status != 200:
                return reply.status
            assert reply.body["result"] == expected[number % 50]
            answered.append(number)
            if len(answered) > 200:
                asked.set()
        return 0

    environment = {"THINFER_SERVE_DRAIN_NOTICE_S": "2"}
    with (
        serve_process(bundle, *options, environment=environment) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        workers = [pool.submit(ask, worker, server) for worker in range(8)]
        assert asked.wait(60)
        server.terminate()
        assert [worker.result() for worker in workers] == [503] * 8
        assert server.wait() == 0


def test_an_idle_service_stops_with_an_open_connection(tmp_path: Path) -> None:
    with serve_process(make_slow_bundle(tmp_path, 0)) as server:
        link = server.connect()
        assert server.ask("GET", "/check?content=a", connection=link).status == 200
        server.terminate()
        assert server.wait() == 0
        link.close()


def test_the_deadline_ends_a_stop_that_would_never_end(tmp_path: Path) -> None:
    environment = {"THINFER_SERVE_DRAIN_TIMEOUT_S": "0.3", "THINFER_SERVE_DRAIN_NOTICE_S": "0"}
    # One golden batch and the first readiness inference take a latency each.
    bundle = make_slow_bundle(tmp_path, 4_000)
    with (
        serve_process(bundle, environment=environment) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        start_requests(server, pool, 1)
        server.terminate()
        assert server.wait() == 0
        assert any("1 requests are lost" in line for line in server.errors)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    environment = {"THINFER_SERVE_DRAIN_NOTICE_S": "500", "THINFER_SERVE_DRAIN_TIMEOUT_S": "600"}
    with serve_process(make_slow_bundle(tmp_path, 0), environment=environment) as server:
        server.popen.send_signal(signal.SIGINT)
        while server.ask("GET", "/readyz").status == 200:
            pass  # the signal is on its way
        server.terminate()
        assert server.wait() == 0
