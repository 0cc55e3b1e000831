"""Long texts through the service: the answers of the Python API, counted, and bounded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.serving import Harness, serving
from thinfer.text import LongText

LONG = "a b c d e f g h i j k l m n o p q r s t u v w x y z 0 1 2 3 4 5 6 7 8 9 " * 2
TEXTS = ["a b", LONG, "", LONG[::-1], "c"]
RULES: list[dict[str, Any]] = [
    {"policy": "head"},
    {"policy": "tail"},
    {"policy": "head_tail"},
    {"policy": "windows"},
    {"policy": "windows", "pooling": "mean"},
    {"policy": "windows", "pooling": "max"},
]


@pytest.fixture(scope="module", params=["plain", "normal", "multi"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("serve")
    normal = None if request.param == "plain" else "normal"
    bundle = make_fake_bundle(
        folder / "bundle", normal_label=normal, multi_label=request.param == "multi"
    )
    with serving(folder, bundle=bundle) as harness:
        yield harness


@pytest.mark.parametrize("rule", RULES)
def test_each_policy_gives_the_answers_of_the_python_api(
    shared: Harness, rule: dict[str, Any]
) -> None:
    expected = shared.classifier.predict(TEXTS, long_text=LongText(**rule))
    fields = {"long_text": rule["policy"]}
    if "pooling" in rule:
        fields["pooling"] = rule["pooling"]
    body = {"inputs": TEXTS, "details": True, **fields}
    found = shared.client.post("/predict", json=body).json()
    for text, answer, prediction in zip(TEXTS, found, expected, strict=True):
        scores = {row["label"]: row["score"] for row in answer["predictions"]}
        assert scores == prediction.scores
        single = shared.client.post("/check", json={"content": text, **fields}).json()
        assert single["probability"] == prediction.score
        for counts in (answer, single):
            assert counts["truncated"] == prediction.truncated
            assert counts["tokens"] == prediction.tokens
            assert counts["tokens_total"] == prediction.tokens_total
        assert answer["windows"] == single.get("windows", 1) == prediction.windows
    is_cut = [text == LONG or text == LONG[::-1] for text in TEXTS]
    assert [answer.truncated for answer in expected] == [
        cut and rule["policy"] != "windows" for cut in is_cut
    ]


def test_without_a_word_the_head_is_kept(shared: Harness) -> None:
    plain = shared.client.post("/check", json={"content": LONG}).json()
    head = shared.client.post("/check", json={"content": LONG, "long_text": "head"}).json()
    query = shared.client.get("/check", params={"content": LONG}).json()
    assert plain == head == query
    assert (plain["truncated"], plain["tokens"], plain["tokens_total"]) == (True, 24, 74)


def test_the_default_pooling_is_max_where_a_label_is_normal(shared: Harness) -> None:
    name = "mean" if shared.classifier.bundle.manifest.normal_label is None else "max"
    query = {"content": LONG, "long_text": "windows"}
    default = shared.client.get("/check", params=query).json()
    assert default == shared.client.get("/check", params={**query, "pooling": name}).json()


def test_error_refuses_and_says_how_long(shared: Harness) -> None:
    answer = shared.client.get("/check", params={"content": LONG, "long_text": "error"})
    assert (answer.status_code, answer.json()["error_type"]) == (422, "invalid")
    assert "72 in the longest" in answer.json()["error"]
    fine = shared.client.get("/check", params={"content": "a", "long_text": "error"})
    assert fine.status_code == 200


def test_pairs_are_cut_but_not_read_in_windows(shared: Harness) -> None:
    for policy in ("tail", "head_tail"):
        (expected,) = shared.classifier.predict([LONG], ["x y"], long_text=policy)
        body = {"content": LONG, "pair": "x y", "long_text": policy}
        assert shared.client.post("/check", json=body).json()["probability"] == expected.score
    pair = {"inputs": [[LONG, "x y"]], "long_text": "windows"}
    refused = shared.client.post("/predict", json=pair)
    assert (refused.status_code, refused.json()["error_type"]) == (422, "invalid")
    assert "pair" in refused.json()["error"]


def test_windows_are_counted_and_bounded(tmp_path: Path) -> None:
    settings = {"max_windows": 4, "max_queue": 6, "window_overlap": 0.0}
    with serving(tmp_path, settings=settings) as harness:
        fits = "a " * 88  # 4 windows of 22
        answer = harness.client.post("/check", json={"content": fits, "long_text": "windows"})
        assert (answer.status_code, answer.json()["windows"]) == (200, 4)
        assert answer.headers["x-thinfer-tokens"] == "96"
        assert answer.headers["x-thinfer-tokens-total"] == "90"
        assert "x-thinfer-truncated" not in answer.headers
        for text in (fits + "a", "a " * 500_000):
            body = {"content": text, "long_text": "windows"}
            refused = harness.client.post("/check", json=body)
            assert (refused.status_code, refused.json()["error_type"]) == (413, "too_many_windows")
        both = {"inputs": [fits, fits], "long_text": "windows"}
        refused = harness.client.post("/predict", json=both)
        assert (refused.status_code, refused.json()["error_type"]) == (413, "too_many_texts")
        samples = harness.samples()
        assert samples["thinfer_texts_total"] == 1
        assert samples["thinfer_windowed_texts_total"] == 1
        assert samples["thinfer_windows_total"] == 4
        assert samples["thinfer_tokens_total"] == 96
        assert samples["thinfer_truncated_texts_total"] == 0
        assert samples['thinfer_refused_total{reason="too_many_windows"}'] == 2
        assert samples["thinfer_queue_depth"] == 0


def test_windows_find_no_room_in_a_full_queue(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"max_queue": 4}) as harness, ThreadPoolExecutor(2) as pool:
        harness.engine.gate.clear()
        held = pool.submit(harness.client.get, "/check?content=a")
        assert harness.engine.entered.wait(30)
        waiting = pool.submit(harness.client.post, "/predict", json={"inputs": ["b", "c", "d"]})
        batcher = harness.service.router.current.batcher
        while batcher.waiting < 3:
            harness.engine.entered.wait(0.01)
        body = {"content": "a " * 40, "long_text": "windows"}
        refused = harness.client.post("/check", json=body)
        assert (refused.status_code, refused.json()["error_type"]) == (429, "queue_full")
        assert batcher.waiting == 3
        harness.engine.gate.set()
        assert [held.result().status_code, waiting.result().status_code] == [200, 200]
        assert harness.client.post("/check", json=body).status_code == 200


def test_the_models_name_is_the_folders_unless_another_is_set(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as harness:
        assert harness.service.model_name == "bundle"
    with serving(tmp_path / "b", settings={"model_name": "moderation"}) as harness:
        assert harness.service.model_name == "moderation"
