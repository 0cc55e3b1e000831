"""`/check`: the query and the body say the same, and wrong values are named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.serving import Harness, serving


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with serving(tmp_path_factory.mktemp("serve")) as harness:
        yield harness


def test_a_pair_is_classified_as_a_pair(shared: Harness) -> None:
    (expected,) = shared.classifier.predict(["ab"], ["cd"])
    for answer in (
        shared.client.get("/check", params={"content": "ab", "pair": "cd"}),
        shared.client.post("/check", json={"content": "ab", "pair": "cd"}),
    ):
        assert answer.json()["probability"] == expected.score
        assert answer.json()["tokens"] == 7
    alone = shared.client.post("/check", json={"content": "ab", "pair": None}).json()
    assert alone["tokens"] == 4
    assert shared.client.get("/check?content=ab&pair=").json()["tokens"] == 5


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("content=secret&long_text=window", "'long_text'"),
        ("content=secret&pooling=sum&long_text=windows", "'pooling'"),
        ("content=secret&pooling=max", "'pooling'"),
        ("content=secret&pooling=max&long_text=head", "'pooling'"),
        ("long_text=head", "'content'"),
    ],
)
def test_a_wrong_value_is_named_and_the_text_is_not(shared: Harness, query: str, name: str) -> None:
    answer = shared.client.get(f"/check?{query}")
    assert (answer.status_code, answer.json()["error_type"]) == (422, "invalid")
    assert name in answer.json()["error"]
    assert "secret" not in answer.json()["error"]


def test_a_key_twice_is_malformed_wherever_it_is(shared: Harness) -> None:
    for raw in (
        b'{"content": "a", "content": "b"}',
        b'{"content": "a", "\\u0063ontent": "b"}',
        b'{"content": "a", "other": [{"x": 1, "x": 2}]}',
    ):
        answer = shared.client.post("/check", content=raw)
        assert (answer.status_code, answer.json()["error_type"]) == (400, "malformed")
        assert "twice" in answer.json()["error"]
    fine = b'{"content": "\\"a\\": 1, \\"a\\": 2", "other": {"content": 1}}'
    assert shared.client.post("/check", content=fine).status_code == 200


def test_numbers_that_python_would_not_read_are_left_alone(shared: Harness) -> None:
    for number in (b"9" * 5000, b"1e999999", b"-0", b"NaN"):
        raw = b'{"content": "a", "other": ' + number + b"}"
        assert shared.client.post("/check", content=raw).status_code in {200, 400}
