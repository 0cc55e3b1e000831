"""`/v1/moderations`: everything but the normal label is a finding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.serving import Harness, serving
from thinfer.text import LongText

TEXTS = ["a", "b c", "d", "ef", "", "☃", "ghi", "j k"]


def moderation(folder: Path, *, is_multi: bool) -> Iterator[Harness]:
    bundle = make_fake_bundle(folder / "mod", normal_label="normal", multi_label=is_multi)
    with serving(folder, bundle=bundle) as harness:
        yield harness


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    yield from moderation(tmp_path_factory.mktemp("single"), is_multi=False)


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    yield from moderation(tmp_path_factory.mktemp("multi"), is_multi=True)


def test_with_one_label_a_text_the_best_label_decides(single: Harness) -> None:
    expected = single.classifier.predict(TEXTS)
    assert len({prediction.label for prediction in expected}) == 3  # each label is there
    answer = single.client.post("/v1/moderations", json={"input": TEXTS, "model": "any"}).json()
    assert answer["id"].startswith("modr-")
    assert answer["model"] == f"mod-{single.classifier.version}"
    for result, prediction in zip(answer["results"], expected, strict=True):
        assert result["flagged"] == (prediction.label != "normal")
        names = ("spam", "abuse")
        assert result["categories"] == {name: name == prediction.label for name in names}
        assert result["category_scores"] == {name: prediction.scores[name] for name in names}
        assert result["tokens"] == result["tokens_total"] == prediction.tokens


def test_with_several_labels_a_text_each_counts_from_one_half(multi: Harness) -> None:
    expected = multi.classifier.predict(TEXTS)
    answer = multi.client.post("/v1/moderations", json={"input": TEXTS}).json()
    for result, prediction in zip(answer["results"], expected, strict=True):
        found = {name: prediction.scores[name] >= 0.5 for name in ("spam", "abuse")}
        assert result["categories"] == found
        assert result["flagged"] == any(found.values())
    assert any(all(result["categories"].values()) for result in answer["results"])


def test_one_text_gives_one_result_and_each_answer_its_own_id(single: Harness) -> None:
    answers = [single.client.post("/v1/moderations", json={"input": "a"}).json() for _ in "ab"]
    assert [len(answer["results"]) for answer in answers] == [1, 1]
    assert answers[0]["id"] != answers[1]["id"]


def test_a_long_text_is_flagged_where_one_of_its_windows_is(single: Harness) -> None:
    classifier, rule = single.classifier, LongText(policy="windows")
    found = set()
    for letter in "abcdefghijkl":
        text = f"{letter} " * 23  # two windows
        encoding = classifier.tokenizer.encode([text], long_text=rule)
        windows = classifier.run_batch(encoding.batch).argmax(axis=1)
        is_flagged = bool((windows != classifier.labels.index("normal")).any())
        body = {"input": text, "long_text": "windows"}
        (result,) = single.client.post("/v1/moderations", json=body).json()["results"]
        assert result["flagged"] == is_flagged
        assert (result["truncated"], result["tokens"], result["tokens_total"]) == (False, 48, 25)
        found.add(is_flagged)
    assert found == {False, True}


def test_without_a_normal_label_it_is_404_with_the_reason(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        answer = harness.client.post("/v1/moderations", json={"input": "a"})
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert "normal label" in error["message"]
        assert (error["type"], error["code"], error["param"]) == ("not_found", "not_found", None)


@pytest.mark.parametrize(
    ("raw", "status", "kind"),
    [
        (b"{", 400, "malformed"),
        (b"{}", 422, "invalid"),
        (b'{"input": []}', 422, "invalid"),
        (b'{"input": [["secret"]]}', 422, "invalid"),
        (b'{"input": "a", "pooling": "max"}', 422, "invalid"),
    ],
)
def test_refusals_have_the_form_that_its_clients_read(
    single: Harness, raw: bytes, status: int, kind: str
) -> None:
    answer = single.client.post("/v1/moderations", content=raw)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == kind
    assert "secret" not in answer.text


def test_a_path_and_a_method_that_are_not_there_have_the_same_form(single: Harness) -> None:
    assert single.client.get("/v1/chat").json()["error"]["code"] == "not_found"
    assert single.client.get("/v1/moderations").json()["error"]["code"] == "method_not_allowed"
