"""A service to talk to: inside the test with an engine of its own, or as a real process."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray
from starlette.testclient import TestClient

from tests.support.bundles import make_fake_bundle
from thinfer.bundle import Bundle
from thinfer.classifier import Classifier
from thinfer.core.clock import SystemClock
from thinfer.engine.base import Engine, EngineInfo
from thinfer.serve.app import create_app
from thinfer.serve.service import Service
from thinfer.serve.settings import ServeSettings
from thinfer.serve.wiring import build_service
from thinfer.text.batch import Batch

PROGRAM = "import sys; from thinfer.cli.main import main; sys.exit(main())"
DEADLINE_S = 60.0
ADMIN_KEY = "the-admin-key-of-the-tests"


class GatedEngine:
    """The fake engine behind a gate: a call waits until the test opens it.

    `calls` holds the texts of each call; `on_run` may raise, or give other logits.
    """

    def __init__(self, inner: Engine, *, is_open: bool = True) -> None:
        self._inner = inner
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.calls: list[Batch] = []
        self.on_run: Callable[[Batch], NDArray[np.float32] | None] = lambda batch: None
        if is_open:
            self.gate.set()

    @property
    def info(self) -> EngineInfo:
        return self._inner.info

    def run(self, batch: Batch) -> NDArray[np.float32]:
        self.calls.append(batch)
        self.entered.set()
        if not self.gate.wait(DEADLINE_S):
            message = "the test never opened the gate"
            raise TimeoutError(message)
        other = self.on_run(batch)
        return self._inner.run(batch) if other is None else other

    def close(self) -> None:
        self.gate.set()
        self._inner.close()


@dataclass(slots=True)
class Harness:
    """A service inside the test."""

    client: TestClient
    service: Service
    classifier: Classifier
    engine: GatedEngine
    folder: Path

    def make_bundle(self, salt: int, **options: Any) -> Path:  # noqa: ANN401 - of any kind
        """Write another version beside the first; another salt gives other answers."""
        place = self.folder / f"salt-{salt}"
        labels = options.pop("labels", ("normal", "spam", "abuse"))
        seed = options.pop("seed", 0)
        make_fake_bundle(place, labels=labels, seed=seed, options={"salt": salt, **options})
        return place

    def admin(self, method: str, path: str, body: object = None) -> httpx2.Response:
        """Ask an admin route with the admin key."""
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        answer: httpx2.Response = self.client.request(
            method, f"/admin/{path}", json=body, headers=headers
        )
        return answer

    def load(self, bundle: Path, *, activate: bool = True) -> dict[str, Any]:
        """Load a bundle; it must work."""
        answer = self.admin("POST", "versions", {"bundle": str(bundle), "activate": activate})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def samples(self) -> dict[str, float]:
        """The counters, by their line without the value; read past the routes."""
        return read_samples(self.service.metrics.render().decode())


@contextmanager
def serving(
    folder: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, int | float | str | bool] | None = None,
    bundle: Bundle | Path | None = None,
) -> Iterator[Harness]:
    """Run the application in this process, on the engine of a bundle (a fake one) behind a gate."""
    source = bundle or make_fake_bundle(folder / "bundle", options=options)
    with Classifier.open(source) as opened:
        engine = GatedEngine(opened.engine)
        classifier = Classifier(opened.bundle, engine, tokenizer=opened.tokenizer)
        clock = SystemClock()
        key = folder / "admin.key"
        key.write_text(ADMIN_KEY)
        # The gate holds calls up, and on the event loop one would hold everything up.
        chosen = {"admin_key_file": key, "quick_ms": 0.0, **(settings or {})}
        service = build_service(classifier, ServeSettings(**chosen), clock=clock)
        app = create_app(service, clock=clock)
        with TestClient(app, raise_server_exceptions=False) as client:
            yield Harness(client, service, classifier, engine, folder)
            engine.gate.set()


def read_samples(text: str) -> dict[str, float]:
    """Read the Prometheus text form: `name{labels}` → value."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def sum_samples(samples: Mapping[str, float], name: str, label: str = "") -> float:
    """Add up the samples of a name, those with a label text only if one is given."""
    return sum(
        value for key, value in samples.items() if key.partition("{")[0] == name and label in key
    )


@dataclass(slots=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:  # noqa: ANN401 - JSON is what it is
        return json.loads(self.raw)


@dataclass(slots=True)
class Process:
    """`thinfer serve` as a process of its own."""

    popen: subprocess.Popen[str]
    version: str
    host: str
    port: int
    errors: list[str] = field(default_factory=list)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE_S)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        connection: http.client.HTTPConnection | None = None,
    ) -> Reply:
        """Send one request; the body is written as JSON unless it is bytes."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        link = connection or self.connect()
        try:
            link.request(method, path, body=raw)
            response = link.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, headers, response.read())
        finally:
            if connection is None:
                link.close()

    def terminate(self) -> None:
        self.popen.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self.popen.wait(DEADLINE_S)


@contextmanager
def serve_process(
    bundle: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Start `thinfer serve` on a free port, wait for its line, and end it afterwards."""
    popen = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            PROGRAM,
            "serve",
            str(bundle),
            "--port",
            "0",
            *arguments,
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
    )
    errors: list[str] = []
    reader: threading.Thread | None = None
    try:
        if popen.stderr is None:
            message = "no stderr"
            raise RuntimeError(message)
        stream = popen.stderr
        for line in stream:
            errors.append(line)
            found = re.match(r"serving (\w+) on http://(.+):(\d+)$", line)
            if found:
                break
        else:
            message = f"the server did not start: {''.join(errors)}"
            raise RuntimeError(message)
        # Someone must read on, or a full pipe would stop the server.
        reader = threading.Thread(target=lambda: errors.extend(stream), daemon=True)
        reader.start()
        yield Process(popen, found[1], found[2], int(found[3]), errors)
    finally:
        popen.kill()
        popen.wait()
        if reader is not None:
            reader.join(DEADLINE_S)
        if popen.stderr is not None:
            popen.stderr.close()
