"""Spans: one a request, a child of the caller's, with the fields of the log line and no text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.bundles import make_fake_bundle
from thinfer.classifier import Classifier
from thinfer.core.clock import SystemClock
from thinfer.errors import EngineError
from thinfer.serve.app import create_app
from thinfer.serve.settings import ServeSettings
from thinfer.serve.spans import open_spans
from thinfer.serve.wiring import build_service

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_without_the_library_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(EngineError, match=r"thinfer\[otel\]"):
        open_spans()


def run_requests(tmp_path: Path) -> list[Any]:
    memory = pytest.importorskip(
        "opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="needs the extra otel"
    )
    exporter, clock = memory.InMemorySpanExporter(), SystemClock()
    spans = open_spans(exporter)
    with Classifier.open(make_fake_bundle(tmp_path / "bundle")) as classifier:
        service = build_service(classifier, ServeSettings(), clock=clock)
        app = create_app(service, clock=clock, spans=spans)
        with TestClient(app) as client:
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "r1"}
            client.get("/check?content=secretword", headers=headers)
            client.post("/predict", json={"inputs": ["a", "b"]})
            client.get("/secretword", headers={"traceparent": "nonsense"})
            service.lifecycle.start_draining()
            client.get("/check?content=a")
    found = list(exporter.get_finished_spans())
    spans.close()
    return found


def test_each_request_is_one_span_of_the_callers_trace(tmp_path: Path) -> None:
    first, second, third, fourth = run_requests(tmp_path)
    assert (first.name, first.kind.name) == ("GET /check", "SERVER")
    assert first.context.trace_id == int(TRACE, 16)
    assert first.parent.span_id == int(PARENT, 16)
    assert first.end_time > first.start_time > 1e18
    attributes = dict(first.attributes)
    assert len(attributes.pop("thinfer.version")) == 12
    assert attributes == {
        "http.request.method": "GET",
        "http.route": "/check",
        "http.response.status_code": 200,
        "thinfer.outcome": "ok",
        "thinfer.texts": 1,
        "thinfer.tokens": 12,
        "thinfer.request_id": "r1",
    }
    assert second.parent is None
    assert second.attributes["thinfer.texts"] == 2
    assert (third.name, third.parent) == ("GET other", None)
    assert [span.status.status_code.name for span in (first, third, fourth)] == [
        "UNSET",
        "UNSET",
        "ERROR",
    ]
    assert "secretword" not in "".join(span.to_json() for span in (first, second, third, fourth))
