"""Two services with a line between them that goes wrong: the edge answers, in time, and says so."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.cascades import ALWAYS, make_policy
from tests.support.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.support.serving import Process, read_samples, serve_process
from thinfer.classifier import Classifier
from thinfer.core.clock import SystemClock
from thinfer.serve.breaker import BreakerState

pytest.importorskip("httpx2", reason="the extra 'cascade' brings it")

TIMEOUT_S, COOLDOWN_S, FAILURES = 0.5, 1.0, 3
SLACK_S = 5.0  # of a busy machine; a fault left alone would last much longer
BODY = b'[[{"label":"x","score":1}]]'


def canned(status: str, body: bytes, more: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n".encode()
    return head + more + b"\r\n" + body


FAULTS: dict[str, Fault] = {
    "late": "late",
    "black hole": "black_hole",
    "reset": "reset",
    "half-close": "half_close",
    "429": canned("429 Too Many Requests", b"{}", b"retry-after: 1\r\n"),
    "500": canned("500 Internal Server Error", b"oops"),
    "wrong schema": canned("200 OK", b'{"result": "spam"}'),
    "wrong labels": canned("200 OK", BODY),
    "no JSON": canned("200 OK", b"<html>"),
    "no HTTP": b"hello\r\n\r\n",
    "too long": canned("200 OK", b" " * 100_000),
    "another bundle": canned("200 OK", BODY, b"x-thinfer-version: 000000000000\r\n"),
}


@dataclass(frozen=True, slots=True)
class Line:
    edge: Process
    cloud: Process
    proxy: FaultProxy
    small: Path
    big: Path

    def check(self) -> dict[str, Any]:
        reply = self.edge.ask("GET", "/check?content=hello")
        assert reply.status == 200
        body: dict[str, Any] = reply.body
        assert reply.headers["x-thinfer-stage"] == body["stage"]
        return body

    def samples(self) -> dict[str, float]:
        return read_samples(self.edge.ask("GET", "/metrics").raw.decode())

    def state(self) -> float:
        return self.samples()["thinfer_cascade_breaker"]

    def heal(self) -> None:
        """Wait until the breaker has closed again over a good line."""
        self.proxy.set_fault("pass")
        deadline = time.monotonic() + 30
        while self.check()["stage"] != "cloud":
            assert time.monotonic() < deadline, "the breaker never closed"
            time.sleep(0.1)
        assert self.state() == BreakerState.CLOSED


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("cascade")
    small = make_fake_bundle(folder / "small")
    big = make_fake_bundle(folder / "big", options={"salt": 3}, seed=3)
    make_policy(small, big, threshold=ALWAYS).write(folder / "cascade.json")
    environment = {
        "THINFER_SERVE_CASCADE_FAILURES": str(FAILURES),
        "THINFER_SERVE_CASCADE_COOLDOWN_S": str(COOLDOWN_S),
    }
    with serve_process(big.path) as cloud, fault_proxy(cloud.port) as proxy:
        words = ("--cascade", str(folder / "cascade.json"), "--cascade-timeout-s", str(TIMEOUT_S))
        to = ("--cascade-to", f"http://127.0.0.1:{proxy.port}")
        with serve_process(small.path, *words, *to, environment=environment) as edge:
            yield Line(edge, cloud, proxy, small.path, big.path)
            edge.terminate()
            assert edge.wait() == 0
            assert not [text for text in edge.errors if "Traceback" in text]


def test_over_a_good_line_the_cloud_answers_over_one_connection(line: Line) -> None:
    line.heal()
    with Classifier.open(line.big) as classifier:
        (expected,) = classifier.predict(["hello"])
    before = line.proxy.connections
    for _ in range(5):
        assert line.check() == {
            "content": "hello",
            "result": expected.label,
            "probability": pytest.approx(expected.score),
            "truncated": False,
            "tokens": 7,
            "tokens_total": 7,
            "stage": "cloud",
        }
    assert line.proxy.connections - before <= 1
    raw = line.edge.ask("POST", "/predict", {"inputs": ["a", "b"], "raw_scores": True})
    direct = line.cloud.ask("POST", "/predict", {"inputs": ["a", "b"], "raw_scores": True})
    assert raw.body == direct.body
    assert raw.headers["x-thinfer-cloud-version"] == line.cloud.version


@pytest.mark.parametrize("name", FAULTS)
def test_the_edge_answers_in_time_and_marked_and_the_breaker_opens_and_closes(
    line: Line, name: str
) -> None:
    line.heal()
    with Classifier.open(line.small) as classifier:
        (expected,) = classifier.predict(["hello"])
    before = line.samples()
    line.proxy.set_fault(FAULTS[name])
    clock = SystemClock()
    for _ in range(FAILURES):
        assert line.state() == BreakerState.CLOSED
        started = clock.monotonic()
        body = line.check()
        assert clock.monotonic() - started < TIMEOUT_S + SLACK_S
        assert (body["result"], body["stage"]) == (expected.label, "edge")
        assert body["degraded"] is True
    assert line.state() in (BreakerState.OPEN, BreakerState.HALF_OPEN)
    count = 'thinfer_cascade_total{outcome="degraded_failed"}'
    assert line.samples()[count] - before.get(count, 0) == FAILURES
    failed = 'thinfer_requests_total{outcome="failed",route="/check"}'
    assert line.samples().get(failed, 0) == 0
    line.heal()


def test_an_open_breaker_leaves_the_cloud_alone_and_half_open_tries_once(line: Line) -> None:
    line.heal()
    line.proxy.set_fault("reset")
    for _ in range(FAILURES):
        line.check()
    asked = line.proxy.connections
    started = SystemClock().monotonic()
    for _ in range(3):
        assert line.check()["degraded"] is True
    if SystemClock().monotonic() - started < COOLDOWN_S:
        assert line.proxy.connections == asked
    time.sleep(COOLDOWN_S)
    assert line.state() == BreakerState.HALF_OPEN
    assert line.check()["degraded"] is True
    assert line.proxy.connections > asked
    assert line.state() in (BreakerState.OPEN, BreakerState.HALF_OPEN)
    line.heal()


def test_no_text_and_no_key_is_in_the_edges_log(line: Line) -> None:
    line.heal()
    line.proxy.set_fault("reset")
    line.edge.ask("POST", "/check", {"content": "secretword"})
    line.heal()
    assert not [text for text in line.edge.errors if "secretword" in text]
    assert json.loads(line.edge.ask("GET", "/readyz").raw)["status"] == "ready"
