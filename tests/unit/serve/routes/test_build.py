"""The router holds every protocol, and no route twice."""

from __future__ import annotations

from pathlib import Path

from tests.support.serving import serving
from thinfer.serve.routes import build_routes


def test_each_route_is_there_once(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        routes = build_routes(harness.service).routes
        names = [
            (getattr(route, "path", ""), *sorted(getattr(route, "methods", ()))) for route in routes
        ]
    assert len(names) == len(set(names))
    found = {path for path, *_ in names}
    assert {"/check", "/predict", "/v1/moderations", "/v2", "/livez", "/health"} <= found
