"""Every route keeps to `/openapi.json` under generated requests, good and bad; none makes a 5xx."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings

requests = pytest.importorskip("requests", reason="comes with schemathesis")
schemathesis = pytest.importorskip("schemathesis")

from schemathesis import APIOperation, Case, GenerationMode  # noqa: E402 - after importorskip
from schemathesis.checks import (  # noqa: E402 - after importorskip
    content_type_conformance,
    load_all_checks,
    negative_data_rejection,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.bundles import make_fake_bundle  # noqa: E402 - after importorskip
from tests.support.serving import ADMIN_KEY, Harness, serving  # noqa: E402 - as above

ALWAYS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 20
# What the description alone cannot say: which bundles, versions, sizes and shares there are.
STAY_OPEN = {
    *("/livez", "/readyz", "/health", "/metrics", "/info"),
    *("/v2/health/live", "/v2/health/ready"),
}
BETWEEN_FIELDS = ("'pooling' is given without windows", "disagree", "too long", "a pair of texts")
OPEN_ENDED = ("/admin/", "/v2/models/", "/drift")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("serve")
    bundle = make_fake_bundle(folder / "moderation", normal_label="normal")
    with serving(folder, bundle=bundle) as harness:
        yield harness


def ask(harness: Harness, case: Case[Any]) -> httpx2.Response:
    headers = {"authorization": f"Bearer {ADMIN_KEY}"} if "/admin" in case.path else {}
    kwargs = case.as_transport_kwargs(base_url="http://testserver", headers=headers)
    prepared = requests.Request(**kwargs).prepare()
    content = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
    answer: httpx2.Response = harness.client.request(
        prepared.method, prepared.url, content=content, headers=dict(prepared.headers)
    )
    return answer


def plan_operations(
    harness: Harness, mode: GenerationMode
) -> Iterator[tuple[APIOperation[Any, Any, Any, Any], dict[str, str] | None]]:
    """Each operation with the names of its path: any ones, and those that there really are."""
    real = {"name": "moderation", "version": harness.classifier.version}
    document = harness.client.get("/openapi.json").json()
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        names = {name: value for name, value in real.items() if f"{{{name}}}" in operation.path}
        has_input = bool(operation.body) or bool(operation.query)
        if names and mode is GenerationMode.POSITIVE:
            yield operation, None
        if has_input or mode is GenerationMode.POSITIVE:  # without an input nothing can be wrong
            yield operation, names or None


def check_operation(
    harness: Harness,
    operation: APIOperation[Any, Any, Any, Any],
    *,
    mode: GenerationMode,
    names: dict[str, str] | None,
    statuses: Counter[int],
) -> None:
    """Send generated requests; hypothesis raises with the smallest one that breaks a promise."""
    is_good, is_open = mode is GenerationMode.POSITIVE, operation.path.startswith(OPEN_ENDED)
    checks = [*ALWAYS, *([] if is_good or is_open else [negative_data_rejection])]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=names))
    def check(case: Case[Any]) -> None:
        answer = ask(harness, case)
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=checks)
        if is_good and not is_open:
            is_between = any(part in answer.text for part in BETWEEN_FIELDS)
            assert answer.status_code == 200 or is_between, answer.text

    check()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_route_keeps_to_its_description(served: Harness, mode: GenerationMode) -> None:
    load_all_checks()
    statuses: Counter[int] = Counter()
    asked = set()
    for operation, names in plan_operations(served, mode):
        asked.add(operation.label)
        check_operation(served, operation, mode=mode, names=names, statuses=statuses)
    assert {"POST /check", "POST /predict", "POST /v1/moderations"} <= asked
    assert statuses[422 if mode is GenerationMode.NEGATIVE else 200] > 50, statuses


def test_with_a_serve_key_every_route_for_work_asks_for_it(tmp_path: Path) -> None:
    key = tmp_path / "serve.key"
    key.write_text("the-serve-key-of-the-tests")
    with serving(tmp_path, settings={"serve_key_file": key}) as harness:
        paths = harness.client.get("/openapi.json").json()["paths"]
        asked = 0
        for path, item in paths.items():
            if path in STAY_OPEN:
                continue
            for method, operation in item.items():
                asked += 1
                for headers in ({}, {"authorization": "Bearer wrong"}):
                    answer = harness.client.request(method, path, headers=headers)
                    assert answer.status_code == 401, path
                assert "401" in operation["responses"], path
        assert asked >= 15
        headers = {"authorization": "Bearer the-serve-key-of-the-tests"}
        assert harness.client.get("/check?content=a", headers=headers).status_code == 200
        assert harness.client.get("/admin/versions", headers=headers).status_code == 401
