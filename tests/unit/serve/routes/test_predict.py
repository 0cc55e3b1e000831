"""`/predict` as text-embeddings-inference has it: shapes, cutting, ranks; and what is added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.serving import Harness, serving
from thinfer.text.long_text import Policy

LONG = "a b c d e f g h i j k l m n o p q r s t u v w x y z"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with serving(tmp_path_factory.mktemp("serve")) as harness:
        yield harness


def ask(shared: Harness, **body: Any) -> Any:  # noqa: ANN401 - JSON is what it is
    answer = shared.client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_text_gives_a_list_and_a_list_a_list_of_lists(shared: Harness) -> None:
    one = ask(shared, inputs="ab")
    assert [set(row) for row in one] == [{"label", "score"}] * 3
    assert ask(shared, inputs=["ab"]) == ask(shared, inputs=[["ab"]]) == [one]
    assert ask(shared, inputs=["ab", ["ab"]]) == [one, one]
    assert len(ask(shared, inputs=[["ab", "cd"]])) == 1


def test_top_k_gives_the_first_of_all(shared: Harness) -> None:
    whole = ask(shared, inputs=["ab", "cd"])
    for top_k in (1, 2, 2.0, 3, 10**30):
        assert ask(shared, inputs=["ab", "cd"], top_k=top_k) == [row[: int(top_k)] for row in whole]
    assert ask(shared, inputs=["ab", "cd"], top_k=None) == whole
    for wrong in (0, -1, 1.5, True, "1"):
        answer = shared.client.post("/predict", json={"inputs": "ab", "top_k": wrong})
        assert answer.status_code == 422
        assert "'top_k'" in answer.json()["error"]


@pytest.mark.parametrize(
    ("fields", "policy"),
    [
        ({}, "head"),
        ({"truncate": True}, "head"),
        ({"truncation_direction": "right"}, "head"),
        ({"truncation_direction": "Right", "truncate": True}, "head"),
        ({"truncation_direction": "left"}, "tail"),
        ({"truncation_direction": "Left", "truncate": None}, "tail"),
        ({"truncation_direction": "left", "long_text": "tail"}, "tail"),
        ({"truncate": True, "long_text": "windows"}, "windows"),
    ],
)
def test_the_words_of_text_embeddings_inference_say_what_is_cut(
    shared: Harness, fields: dict[str, Any], policy: Policy
) -> None:
    (expected,) = shared.classifier.predict([LONG], long_text=policy)
    found = {row["label"]: row["score"] for row in ask(shared, inputs=LONG, **fields)}
    assert found == expected.scores


def test_words_that_contradict_each_other_are_refused(shared: Harness) -> None:
    for fields in (
        {"truncate": False, "long_text": "head"},
        {"truncation_direction": "left", "long_text": "windows"},
    ):
        answer = shared.client.post("/predict", json={"inputs": "a", **fields})
        assert answer.status_code == 422
        assert "disagree" in answer.json()["error"]
    strict = {"inputs": LONG, "truncate": False, "long_text": "error"}
    assert "too long" in shared.client.post("/predict", json=strict).json()["error"]


def test_details_say_how_much_was_read(shared: Harness) -> None:
    found = ask(shared, inputs=LONG, details=True, top_k=1)
    assert found["predictions"] == ask(shared, inputs=LONG, top_k=1)
    counts = {name: found[name] for name in ("truncated", "tokens", "tokens_total", "windows")}
    assert counts == {"truncated": True, "tokens": 24, "tokens_total": 28, "windows": 1}
    assert ask(shared, inputs=["a"], details=True)[0]["tokens"] == 3


def test_raw_scores_of_windows_are_the_pooled_logits(shared: Harness) -> None:
    fields = {"long_text": "windows", "pooling": "mean"}
    raw = {
        row["label"]: row["score"] for row in ask(shared, inputs=LONG, raw_scores=True, **fields)
    }
    tokenizer, classifier = shared.classifier.tokenizer, shared.classifier
    ids = tokenizer.encode_bare([LONG])[0]
    windows = [
        "".join(tokenizer.token(token) + " " for token in part) for part in (ids[:22], ids[4:])
    ]
    mean = classifier.logits(windows).mean(axis=0)
    assert raw == pytest.approx(dict(zip(classifier.labels, mean.tolist(), strict=True)))
