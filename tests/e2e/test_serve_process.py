"""`thinfer serve` as a real process on a real socket."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.serving import PROGRAM, Process, read_samples, serve_process, sum_samples
from thinfer.classifier import Classifier

LIMIT = 20_000
POST = b"POST /check HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fake_bundle(tmp_path_factory.mktemp("serve") / "bundle").path


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Process]:
    with serve_process(bundle, "--max-body-bytes", str(LIMIT)) as process:
        yield process


def exchange(server: Process, raw: bytes, *, is_broken: bool = False) -> bytes:
    """Send raw bytes, and give what comes back until the server closes.

    Broken bytes may leave the server waiting for more: the end of the stream tells it, and may
    cost the answer.
    """
    with socket.create_connection((server.host, server.port), timeout=30) as link:
        link.sendall(raw)
        if is_broken:
            link.shutdown(socket.SHUT_WR)
        parts = []
        while part := link.recv(65536):
            parts.append(part)
        return b"".join(parts)


def test_it_says_its_version_and_answers(server: Process, bundle: Path) -> None:
    with Classifier.open(bundle) as classifier:
        assert server.version == classifier.version
        (expected,) = classifier.predict(["hello"])
    reply = server.ask("GET", "/check?content=hello")
    assert reply.status == 200
    assert reply.headers["x-thinfer-version"] == server.version
    assert reply.body["result"] == expected.label
    assert server.ask("GET", "/readyz").status == 200


def test_a_query_of_plain_utf8_bytes_is_read_or_refused_but_never_an_error(server: Process) -> None:
    answer = exchange(
        server, "GET /check?content=你好 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()
    )
    assert answer.split(b" ")[1] in {b"200", b"400"}


@pytest.mark.parametrize(
    "raw",
    [
        b"\0\0\0\0",
        b"GET\r\n\r\n",
        b"GET /check?content=%00 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /check?" + b"a" * 300_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /check HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /check HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST /check HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /check HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n\xff\xfe\xfd\xfc\xfb",
        b"POST /check HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{",
    ],
)
def test_broken_bytes_on_the_wire_are_never_a_server_error(server: Process, raw: bytes) -> None:
    answer = exchange(server, raw, is_broken=True)
    assert not answer.startswith(b"HTTP/1.1 5")
    assert server.ask("GET", "/check?content=a").status == 200
    samples = read_samples(server.ask("GET", "/metrics").raw.decode())
    assert sum_samples(samples, "thinfer_requests_total", "failed") == 0


def send_chunks(server: Process, chunks: list[bytes]) -> bytes:
    head = POST + b"transfer-encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return exchange(server, head + body + b"0\r\n\r\n")


def test_the_limit_counts_the_bytes_that_arrive_whatever_was_declared(server: Process) -> None:
    small = json.dumps({"content": "a" * 500}).encode()
    assert send_chunks(server, [small[:100], small[100:]]).startswith(b"HTTP/1.1 200")
    large = json.dumps({"content": "a" * LIMIT}).encode()
    chunked = send_chunks(server, [large[i : i + 1000] for i in range(0, len(large), 1000)])
    assert chunked.startswith(b"HTTP/1.1 413")
    declared = POST + b"content-length: %d\r\n\r\n" % (LIMIT + 1)
    assert exchange(server, declared).startswith(b"HTTP/1.1 413")  # before any byte of the body
    exact = json.dumps({"content": ""}).encode().ljust(LIMIT)
    assert server.ask("POST", "/check", exact).status == 200
    assert server.ask("POST", "/check", exact + b" ").status == 413


def test_32_threads_get_the_answers_that_each_text_gets_alone(
    server: Process, bundle: Path
) -> None:
    texts = [f"{a}{b} {'你好' * (a % 5)}" for a in range(32) for b in range(10)]
    with Classifier.open(bundle) as classifier:
        expected = {text: classifier.predict([text])[0] for text in texts}
    before = read_samples(server.ask("GET", "/metrics").raw.decode())

    def ask(number: int) -> None:
        link = server.connect()
        for i in range(number, len(texts), 32):
            pair = [texts[i], texts[-i]]
            (first, _), single = (
                server.ask("POST", "/predict", {"inputs": pair}, connection=link).body,
                server.ask("POST", "/predict", {"inputs": texts[i]}, connection=link).body,
            )
            scores = {row["label"]: row["score"] for row in single}
            assert scores == pytest.approx(expected[texts[i]].scores, abs=1e-6)
            assert first == single
        link.close()

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(ask, range(32)))
    after = read_samples(server.ask("GET", "/metrics").raw.decode())
    assert after["thinfer_texts_total"] - before["thinfer_texts_total"] == 3 * len(texts)
    assert sum_samples(after, "thinfer_requests_total", "failed") == 0


def test_clients_that_leave_are_counted_and_not_computed(tmp_path: Path) -> None:
    slow = make_fake_bundle(tmp_path / "bundle", options={"latency_ms": 300}).path
    with serve_process(slow) as server:
        first = threading.Thread(target=server.ask, args=("GET", "/check?content=a"))
        first.start()
        wait_for(server, "thinfer_requests_in_flight", 2)  # the first, and the scrape itself
        for _ in range(5):
            with socket.create_connection((server.host, server.port)) as link:
                link.sendall(b"GET /check?content=gone HTTP/1.1\r\nhost: x\r\n\r\n")
        first.join()
        samples = wait_for(server, 'thinfer_requests_total{outcome="cancelled",route="/check"}', 5)
        assert samples["thinfer_queue_depth"] == 0
        assert samples["thinfer_texts_total"] == 1
        finished = sum_samples(samples, "thinfer_requests_total")
        assert samples["thinfer_requests_received_total"] == finished + 1


def wait_for(server: Process, name: str, value: float) -> dict[str, float]:
    """Scrape until a counter has the value."""
    pause = threading.Event()
    samples: dict[str, float] = {}
    for _ in range(500):
        samples = read_samples(server.ask("GET", "/metrics").raw.decode())
        if samples.get(name) == value:
            return samples
        pause.wait(0.02)
    message = f"{name} is {samples.get(name)}, not {value}"
    raise AssertionError(message)


def test_overload_is_429_and_ends_with_the_load(tmp_path: Path) -> None:
    slow = make_fake_bundle(tmp_path / "bundle", options={"latency_ms": 50}).path
    environment = {"THINFER_SERVE_MAX_BATCH_TEXTS": "2"}
    with (
        serve_process(slow, "--max-queue", "4", environment=environment) as server,
        ThreadPoolExecutor(40) as pool,
    ):
        replies = list(pool.map(lambda i: server.ask("GET", f"/check?content={i}"), range(120)))
        statuses = [reply.status for reply in replies]
        assert set(statuses) == {200, 429}
        assert all(int(r.headers["retry-after"]) >= 1 for r in replies if r.status == 429)
        samples = read_samples(server.ask("GET", "/metrics").raw.decode())
        assert samples['thinfer_refused_total{reason="queue_full"}'] == statuses.count(429)
        assert samples["thinfer_texts_total"] == statuses.count(200)
        assert server.ask("GET", "/check?content=after").status == 200


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
def test_it_listens_on_ipv6_too(bundle: Path) -> None:
    with serve_process(bundle, "--host", "::1") as server:
        assert server.host == "[::1]"
        with socket.create_connection(("::1", server.port), timeout=30) as link:
            link.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            assert link.recv(65536).startswith(b"HTTP/1.1 200")


def run_serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command where it is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_address_in_use_is_the_users_error(bundle: Path, server: Process) -> None:
    done = run_serve(str(bundle), "--port", str(server.port))
    assert done.returncode == 2
    assert "name another --port" in done.stderr


def test_a_setting_out_of_range_is_the_users_error(bundle: Path) -> None:
    done = run_serve(str(bundle), "--max-queue", "0")
    assert done.returncode == 2
    assert "max_queue" in done.stderr


def test_an_engine_that_fails_its_first_inference_is_never_announced(tmp_path: Path) -> None:
    # The first call is the golden set's, the second the readiness inference's.
    bundle = make_fake_bundle(tmp_path / "bundle", options={"fail_every": 2}).path
    done = run_serve(str(bundle), "--port", "0")
    assert done.returncode == 5
    assert "readiness" in done.stderr
    assert "serving" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_body_that_does_not_come_is_given_up(bundle: Path) -> None:
    with serve_process(bundle, environment={"THINFER_SERVE_BODY_TIMEOUT_S": "0.1"}) as server:
        head = b"POST /check HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{"
        with socket.create_connection((server.host, server.port), timeout=30) as link:
            link.sendall(head)
            answer = link.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("before", [b"", b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"])
def test_a_head_that_comes_byte_by_byte_is_cut_at_the_deadline(bundle: Path, before: bytes) -> None:
    environment = {"THINFER_SERVE_HEAD_TIMEOUT_S": "0.5"}
    pause = threading.Event()
    with (
        serve_process(bundle, environment=environment) as server,
        socket.create_connection((server.host, server.port), timeout=30) as link,
    ):
        if before:
            link.sendall(before)
            assert link.recv(65536).startswith(b"HTTP/1.1 200")
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                link.sendall(b"G")
                assert server.ask("GET", "/check?content=a").status == 200  # others go on
                pause.wait(0.05)


def test_a_resting_connection_is_closed_when_its_time_is_over_and_not_before(bundle: Path) -> None:
    environment = {"THINFER_SERVE_KEEP_ALIVE_S": "0.5", "THINFER_SERVE_HEAD_TIMEOUT_S": "0.1"}
    with serve_process(bundle, environment=environment) as server:
        link = server.connect()
        for _ in range(3):
            assert server.ask("GET", "/livez", connection=link).status == 200
            threading.Event().wait(0.2)  # longer than a head may take
        assert link.sock.recv(1) == b""
        link.close()


def test_a_slow_answer_is_not_cut_by_the_deadline_of_the_head(tmp_path: Path) -> None:
    slow = make_fake_bundle(tmp_path / "bundle", options={"latency_ms": 500}).path
    environment = {"THINFER_SERVE_HEAD_TIMEOUT_S": "0.1"}
    with serve_process(slow, environment=environment) as server:
        assert server.ask("GET", "/check?content=a").status == 200


def test_a_serving_process_holds_no_torch_and_opens_no_connection(bundle: Path) -> None:
    code = """
        import socket, sys
        from pathlib import Path
        from starlette.testclient import TestClient
        from thinfer.classifier import Classifier
        from thinfer.core.clock import SystemClock
        from thinfer.serve.app import create_app
        from thinfer.serve.wiring import build_service
        from thinfer.serve.settings import load_settings

        def refuse(*arguments, **keywords):
            raise RuntimeError("a connection to elsewhere")

        socket.socket.connect = socket.create_connection = refuse
        clock = SystemClock()
        with Classifier.open(Path(sys.argv[1])) as classifier:
            service = build_service(classifier, load_settings({}), clock=clock)
            with TestClient(create_app(service, clock=clock)) as client:
                assert client.get("/readyz").status_code == 200
                assert client.get("/check?content=hi").status_code == 200
        heavy = {"torch", "transformers", "onnx", "openvino", "nncf", "sklearn", "pyarrow"}
        print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(bundle)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr
