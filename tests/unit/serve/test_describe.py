"""`/openapi.json`: every route has an answer, refusals and examples, and the examples work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.serving import Harness, serving

Document = dict[str, Any]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("serve")
    bundle = make_fake_bundle(folder / "moderation", normal_label="normal")
    with serving(folder, bundle=bundle) as harness:
        yield harness


@pytest.fixture(scope="module")
def document(shared: Harness) -> Document:
    found: Document = shared.client.get("/openapi.json").json()
    return found


def operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_no_reference_leads_nowhere(document: Document) -> None:
    def walk(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for item in value.values():
                yield from walk(item)
        elif isinstance(value, list):
            for item in value:
                yield from walk(item)

    known = set(document["components"]["schemas"])
    references = set(walk(document))
    assert references
    assert {name.removeprefix("#/components/schemas/") for name in references} <= known
    assert "$defs" not in json.dumps(document)


def test_every_route_describes_its_answer_and_its_parameters(document: Document) -> None:
    for path, method, operation in operations(document):
        assert operation["summary"], path
        content = operation["responses"]["200"].get("content", {})
        if "application/json" in content:
            assert content["application/json"]["example"], path
            assert content["application/json"]["schema"], path
        names = {item["name"] for item in operation.get("parameters", ()) if item["in"] == "path"}
        assert names == {part[1:-1] for part in path.split("/") if part.startswith("{")}
        if method == "post" and not path.startswith("/admin/"):
            for status in ("400", "413", "415", "422", "429", "503"):
                assert "application/json" in operation["responses"][status]["content"], path


def test_every_example_of_a_body_is_answered(shared: Harness, document: Document) -> None:
    seen = 0
    for path, method, operation in operations(document):
        if method != "post" or path.startswith("/admin/"):
            continue
        found = path.replace("{name}", "moderation").replace("{version}", shared.classifier.version)
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        for name, example in examples.items():
            seen += 1
            answer = shared.client.post(found, json=example["value"])
            assert answer.status_code == 200, (path, name, answer.text)
    assert seen >= 14
