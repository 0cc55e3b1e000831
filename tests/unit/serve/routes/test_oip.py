"""The Open Inference Protocol: every route, the answer's tensors, and each thing it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import thinfer
from tests.support.serving import Harness, serving

MODEL = "/v2/models/moderation"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    settings = {"model_name": "moderation"}
    with serving(tmp_path_factory.mktemp("serve"), settings=settings) as harness:
        yield harness


def tensor(data: list[Any], **fields: object) -> dict[str, Any]:
    return {"name": "text", "shape": [len(data)], "datatype": "BYTES", "data": data, **fields}


def infer(shared: Harness, body: object, path: str = f"{MODEL}/infer") -> Any:  # noqa: ANN401
    answer = shared.client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_server_and_the_model_describe_themselves(shared: Harness) -> None:
    server = {"name": "thinfer", "version": thinfer.__version__, "extensions": []}
    assert shared.client.get("/v2").json() == server
    version = shared.classifier.version
    model = shared.client.get(MODEL).json()
    assert (model["name"], model["versions"]) == ("moderation", [version])
    assert model["platform"] == "thinfer_fake"
    assert model["inputs"][0] == {"name": "text", "datatype": "BYTES", "shape": [-1]}
    outputs = {output["name"]: (output["datatype"], output["shape"]) for output in model["outputs"]}
    assert outputs["label"] == ("BYTES", [-1])
    assert outputs["scores"] == outputs["logits"] == ("FP32", [-1, 3])
    assert model["parameters"]["labels"] == list(shared.classifier.labels)
    assert shared.client.get(f"{MODEL}/versions/{version}").json() == model


def test_health_in_the_protocols_words(shared: Harness) -> None:
    assert shared.client.get("/v2/health/live").json() == {"live": True}
    assert shared.client.get("/v2/health/ready").json() == {"live": True, "ready": True}
    ready = {"name": "moderation", "ready": True}
    assert shared.client.get(f"{MODEL}/ready").json() == ready
    path = f"{MODEL}/versions/{shared.classifier.version}/ready"
    assert shared.client.get(path).json() == ready


def test_texts_are_answered_as_tensors(shared: Harness) -> None:
    texts = ["ab", "☃", "a b " * 20]
    predictions = shared.classifier.predict(texts)
    found = infer(shared, {"id": "4/2 你", "inputs": [tensor(texts)]})
    assert found["model_name"] == "moderation"
    assert found["model_version"] == shared.classifier.version
    assert found["id"] == "4/2 你"
    outputs = {output.pop("name"): output for output in found["outputs"]}
    assert list(outputs) == ["label", "scores", "truncated", "tokens", "tokens_total"]
    labels = [prediction.label for prediction in predictions]
    assert outputs["label"] == {"datatype": "BYTES", "shape": [3], "data": labels}
    scores = [score for item in predictions for score in item.scores.values()]
    assert outputs["scores"] == {"datatype": "FP32", "shape": [3, 3], "data": scores}
    assert outputs["truncated"]["data"] == [False, False, True]
    assert outputs["tokens"]["data"] == [4, 3, 24]
    assert outputs["tokens_total"]["data"] == [4, 3, 42]


def test_the_version_may_be_in_the_path_and_the_shape_may_have_a_column(shared: Harness) -> None:
    path = f"{MODEL}/versions/{shared.classifier.version}/infer"
    plain = infer(shared, {"inputs": [tensor(["a", "b"])]}, path)
    assert "id" not in plain
    for data in (["a", "b"], [["a"], ["b"]]):
        column = tensor(data, shape=[2, 1], name="input-0", parameters={"other": 1})
        assert infer(shared, {"inputs": [column], "parameters": {"priority": 2}}) == plain


def test_outputs_are_those_asked_for_in_their_order(shared: Harness) -> None:
    body = {"inputs": [tensor(["ab"])], "outputs": [{"name": "logits"}, {"name": "label"}]}
    found = infer(shared, body)["outputs"]
    assert [output["name"] for output in found] == ["logits", "label"]
    logits = shared.classifier.logits(["ab"]).ravel().tolist()
    assert found[0]["data"] == pytest.approx(logits)


def test_pairs_and_long_texts(shared: Harness) -> None:
    (expected,) = shared.classifier.predict(["ab"], ["cd"])
    pair = [tensor(["cd"], name="text_pair"), tensor(["ab"])]
    assert infer(shared, {"inputs": pair})["outputs"][0]["data"] == [expected.label]
    text = "a b c d " * 10
    (windows,) = shared.classifier.predict([text], long_text="windows")
    body = {"inputs": [tensor([text])], "parameters": {"long_text": "windows"}}
    assert infer(shared, body)["outputs"][1]["data"] == list(windows.scores.values())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v2/models/other", "not_found"),
        ("/v2/models/other/ready", "not_found"),
        ("/v2/models/moderation/versions/1", "unknown_version"),
        ("/v2/models/moderation/versions/1/ready", "unknown_version"),
    ],
)
def test_what_is_not_there_is_404(shared: Harness, path: str, kind: str) -> None:
    answer = shared.client.get(path)
    assert (answer.status_code, answer.json()["error_type"]) == (404, kind)
    posted = shared.client.post(f"{path.removesuffix('/ready')}/infer", json={})
    assert posted.status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "'inputs'"),
        ({"inputs": []}, 422, "'inputs'"),
        ({"inputs": [tensor(["a"])] * 3}, 422, "'inputs'"),
        ({"inputs": [tensor(["a"])] * 2}, 422, "'inputs'"),
        ({"inputs": [tensor(["a"]), tensor(["a"], name="b")]}, 422, "'inputs'"),
        ({"inputs": [tensor(["a"], name="text_pair")]}, 422, "'inputs'"),
        ({"inputs": [tensor(["a"]), tensor(["a", "b"], name="text_pair")]}, 422, "size"),
        ({"inputs": [tensor(["secret"], datatype="FP32")]}, 422, "'inputs'"),
        ({"inputs": [tensor(["secret"], shape=[2])]}, 422, "shape"),
        ({"inputs": [tensor(["secret"], shape=[1, 2])]}, 422, "shape"),
        ({"inputs": [tensor(["secret"], shape=[-1])]}, 422, "'inputs'"),
        ({"inputs": [tensor(["secret"], shape=[1, 1, 1])]}, 422, "'inputs'"),
        ({"inputs": [tensor([["a", "b"]])]}, 422, "shape"),
        ({"inputs": [tensor([["a"], []], shape=[2, 1])]}, 422, "shape"),
        ({"inputs": [tensor([])]}, 422, "'inputs'"),
        ({"inputs": [tensor([5])]}, 422, "'inputs'"),
        ({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES"}]}, 422, "no data"),
        ({"inputs": [tensor(["a"])], "id": 5}, 422, "'id'"),
        ({"inputs": [tensor(["a"])], "parameters": {"long_text": "all"}}, 422, "'parameters'"),
        ({"inputs": [tensor(["a"])], "outputs": [{"name": "secret"}]}, 422, "'outputs'"),
        ({"inputs": [tensor(["a"])], "outputs": [{"name": "label"}] * 2}, 422, "'outputs'"),
        ({"inputs": [tensor(["a"], parameters={"binary_data_size": 5})]}, 415, "binary"),
        (
            {
                "inputs": [tensor(["a"])],
                "outputs": [{"name": "label", "parameters": {"binary_data": True}}],
            },
            415,
            "binary",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_a_reason(
    shared: Harness, body: object, status: int, said: str
) -> None:
    answer = shared.client.post(f"{MODEL}/infer", json=body)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]
    assert "secret" not in answer.json()["error"]


def test_the_binary_extension_is_refused_by_its_header(shared: Harness) -> None:
    answer = shared.client.post(
        f"{MODEL}/infer",
        content=b'{"inputs":[]}\x01\x00\x00\x00a',
        headers={"Inference-Header-Content-Length": "13"},
    )
    assert (answer.status_code, answer.json()["error_type"]) == (415, "unsupported_encoding")


def test_its_routes_are_counted_by_their_template(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        harness.client.post("/v2/models/bundle/infer", json={"inputs": [tensor(["a"])]})
        harness.client.get("/v2/models/other")
        harness.client.delete("/v2/models/other")
        samples = harness.samples()
        name = "thinfer_requests_total"
        route = "/v2/models/{name}"
        assert samples[f'{name}{{outcome="ok",route="{route}/infer"}}'] == 1
        assert samples[f'{name}{{outcome="invalid",route="{route}"}}'] == 2


def test_the_version_in_the_path_answers_whatever_else_is_asked(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        first = harness.service.router.current.name
        other = harness.load(harness.make_bundle(1), activate=False)["version"]
        body = {"inputs": [tensor(["a", "b", "c"])], "outputs": [{"name": "logits"}]}
        rows = {}
        for use in (first, other):
            path = f"/v2/models/bundle/versions/{use}"
            headers = {"x-thinfer-use": first}
            answer = harness.client.post(f"{path}/infer", json=body, headers=headers)
            assert answer.headers["x-thinfer-version"] == answer.json()["model_version"] == use
            rows[use] = answer.json()["outputs"][0]["data"]
            assert harness.client.get(f"{path}/ready").json()["ready"] is True
        assert rows[first] != rows[other]
        assert harness.client.get("/v2/models/bundle").json()["versions"] == [first, other]
        wanted = harness.client.post(
            "/v2/models/bundle/infer", json=body, headers={"x-thinfer-use": other}
        )
        assert wanted.json()["outputs"][0]["data"] == rows[other]
