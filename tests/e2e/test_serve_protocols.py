"""The protocols of other services through a real process and a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.serving import Process, serve_process
from thinfer.classifier import Classifier
from thinfer.text import LongText

MIB = 2**20


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "bundle"
    return make_fake_bundle(folder, normal_label="normal").path


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Process]:
    arguments = ("--model-name", "moderation", "--max-windows", "8")
    with serve_process(bundle, *arguments) as process:
        yield process


def test_every_protocol_gives_the_answer_of_the_python_api(server: Process, bundle: Path) -> None:
    texts = ["win a prize", "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 2]
    fields = {"long_text": "windows", "pooling": "mean"}
    with Classifier.open(bundle) as classifier:
        expected = classifier.predict(texts, long_text=LongText(policy="windows", pooling="mean"))
    labels = [prediction.label for prediction in expected]
    predicted = server.ask("POST", "/predict", {"inputs": texts, "top_k": 1, **fields}).body
    assert [row[0]["label"] for row in predicted] == labels
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": texts}
    infer = {"id": "1", "inputs": [tensor], "parameters": fields, "outputs": [{"name": "label"}]}
    path = f"/v2/models/moderation/versions/{server.version}/infer"
    inferred = server.ask("POST", path, infer)
    assert inferred.body["outputs"][0]["data"] == labels
    assert inferred.headers["x-thinfer-version"] == server.version
    moderated = server.ask("POST", "/v1/moderations", {"input": texts, **fields}).body
    assert [row["flagged"] for row in moderated["results"]] == [name != "normal" for name in labels]
    checked = server.ask("POST", "/check", {"content": texts[1], **fields}).body
    assert (checked["result"], checked["windows"]) == (labels[1], expected[1].windows)
    assert checked["tokens"] == expected[1].tokens > checked["tokens_total"]
    assert server.ask("GET", "/health").raw == b""


def test_hostile_bodies_leave_the_memory_where_it_was(server: Process) -> None:
    process = psutil.Process(server.popen.pid)
    deep = 100_000
    bodies = [
        (b"[" * deep + b"]" * deep, 400),
        (b'{"content": "a", "x": ' + b'{"a":' * deep + b"1" + b"}" * deep + b"}", 400),
        (json.dumps({"content": "a", **{f"k{n}": n for n in range(50_000)}}).encode(), 200),
        (b'{"content": "a", ' + b'"k": 1, ' * 100_000 + b'"z": 1}', 400),
        (b'{"content": "' + b"\\ud800" * 100_000 + b'"}', 400),
    ]
    for _ in range(2):
        for body, status in bodies:
            assert server.ask("POST", "/check", body).status == status
    before = process.memory_info().rss
    for _ in range(5):
        for body, status in bodies:
            assert server.ask("POST", "/check", body).status == status
    assert process.memory_info().rss - before < 32 * MIB
    assert server.ask("GET", "/readyz").status == 200


def test_a_million_characters_are_cut_or_refused(server: Process) -> None:
    body = {"content": "a " * 500_000}
    cut = server.ask("POST", "/check", body)
    assert (cut.status, cut.body["truncated"]) == (200, True)
    assert (cut.body["tokens"], cut.body["tokens_total"]) == (24, 500_002)
    assert server.ask("POST", "/check", {**body, "long_text": "error"}).status == 422
    refused = server.ask("POST", "/check", {**body, "long_text": "windows"})
    assert (refused.status, refused.body["error_type"]) == (413, "too_many_windows")
