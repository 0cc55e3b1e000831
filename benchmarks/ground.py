"""What the parts of the reliability list share: bundles with different answers, texts, a key."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.compress_sets import bundle_of
from benchmarks.launch import Service, start_thinfer
from benchmarks.record import run_tool
from benchmarks.settings import RealSet, Settings
from thinfer.bench.load import LoadPlan, run_closed_loop
from thinfer.core.clock import SystemClock

KEY = "key-of-the-reliability-benchmark"


class Ground:
    """What all parts need: two bundles with different answers, texts, a key."""

    def __init__(self, settings: Settings, item: RealSet, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.texts = settings.corpus(item, "test", most=500).texts
        self.key = folder / "admin.key"
        self.key.write_text(KEY)
        teacher = settings.teacher(item)
        small = bundle_of(settings, item, "all")
        self.first = folder / "first"
        shutil.copytree(small, self.first)
        self.second = folder / "second"
        # Not pruned, so other answers; INT8, or a swap back to it would be refused as too slow.
        words = ("pack", teacher, "--out", self.second, "--precision", "int8")
        run_tool(*words, "--engine", "native")
        self.slow = folder / "slow"
        words = ("pack", teacher, "--out", self.slow, "--precision", "fp32")
        run_tool(*words, "--engine", "onnxruntime")

    @contextmanager
    def serving(self, bundle: Path, *, workers: int = 1) -> Iterator[Service]:
        """Run the service with its admin routes on."""
        options = ("--admin-key-file", str(self.key), "--workers", str(workers))
        with start_thinfer(bundle, threads=self.settings.threads, options=options) as service:
            yield service

    def plan(self, service: Service, *, connections: int, seconds: float) -> LoadPlan:
        """Give a plan that sends the real texts."""
        return LoadPlan(
            host="127.0.0.1",
            port=service.port,
            path="/check",
            bodies=tuple(json.dumps({"content": text}).encode() for text in self.texts),
            connections=connections,
            requests=1_000_000,
            seconds=seconds,
        )

    def find_capacity(self, service: Service, *, seconds: float) -> float:
        """Measure requests a second in a closed loop."""
        plan = self.plan(service, connections=16, seconds=seconds)
        asyncio.run(run_closed_loop(plan, clock=SystemClock()))  # warm
        return asyncio.run(run_closed_loop(plan, clock=SystemClock())).requests_per_second


def ask(service: Service, method: str, path: str, body: object) -> tuple[int, dict[str, Any]]:
    """Send JSON with the admin key; give status and body."""
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    try:
        link.request(method, path, json.dumps(body), headers)
        response = link.getresponse()
        found: dict[str, Any] = json.loads(response.read())
        return response.status, found
    finally:
        link.close()


def check(service: Service, text: str, *, key: str | None = None) -> tuple[str, Any]:
    """Give the version that answered, and its answer."""
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
    headers = {} if key is None else {"x-thinfer-key": key}
    link.request("POST", "/check", json.dumps({"content": text}), headers)
    response = link.getresponse()
    body = json.load(response)
    link.close()
    return str(response.headers["x-thinfer-version"]), body


def send(service: Service, path: str, raw: bytes, headers: dict[str, str]) -> int:
    """Send bytes as they are; give the status."""
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
    link.request("POST", path, raw, {"content-type": "application/json", **headers})
    response = link.getresponse()
    response.read()
    link.close()
    return response.status
