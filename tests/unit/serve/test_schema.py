"""Reading requests: every byte string is read or refused, and no message repeats the text."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinfer.serve.errors import InvalidBodyError, MalformedError
from thinfer.serve.schema import CheckBody, PredictBody, read_body, read_query, split_inputs

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(texts)
def test_a_text_survives_json_in_both_spellings(text: str) -> None:
    for is_ascii in (True, False):
        raw = json.dumps({"content": text}, ensure_ascii=is_ascii).encode()
        assert read_body(CheckBody, raw).content == text


@given(texts)
def test_a_text_survives_the_query(text: str) -> None:
    for value in (quote(text), quote_plus(text)):
        assert read_query(f"a=1&content={value}&b".encode(), "content") == text


def test_the_query_may_hold_plain_utf8_and_the_last_value_counts() -> None:
    assert read_query("content=x&content=你好".encode(), "content") == "你好"
    assert read_query(b"content=", "content") == ""


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for read in (
        lambda: read_body(CheckBody, raw),
        lambda: read_body(PredictBody, raw),
        lambda: read_query(raw, "content"),
    ):
        try:
            read()
        except (MalformedError, InvalidBodyError) as error:
            str(error).encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={"inputs": json_values, "truncate": json_values}))
def test_any_json_is_read_or_refused(body: dict[str, object]) -> None:
    try:
        found = read_body(PredictBody, json.dumps(body).encode())
        first, pairs = split_inputs(found)
    except (MalformedError, InvalidBodyError):
        return
    assert first
    assert all(isinstance(text, str) for text in first)
    assert pairs is None or len(pairs) == len(first)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"content": "\xff"}',
        b'{"content": "\\ud800"}',
        b'{"content": "\\udc00\\ud800"}',
        b'{"content": ' + b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"content":' * 100_000,
    ],
)
def test_what_is_not_json_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedError, match="not valid JSON"):
        read_body(CheckBody, raw)


@pytest.mark.parametrize("raw", [b"null", b"[]", b"5", b'"text"'])
def test_json_that_is_no_object_is_invalid(raw: bytes) -> None:
    with pytest.raises(InvalidBodyError, match="not a JSON object"):
        read_body(CheckBody, raw)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({}, "inputs"),
        ({"inputs": None}, "inputs"),
        ({"inputs": 5}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [[]]}, "inputs"),
        ({"inputs": [["a", "b", "c"]]}, "inputs"),
        ({"inputs": ["secret text", 5]}, "inputs"),
        ({"inputs": {"secret text": "b"}}, "inputs"),
        ({"inputs": ["a", ["b", "c"]]}, "inputs"),
        ({"inputs": "a", "truncate": "yes"}, "truncate"),
        ({"inputs": "a", "raw_scores": 1}, "raw_scores"),
    ],
)
def test_a_wrong_field_is_named_and_the_text_is_not_repeated(body: object, name: str) -> None:
    with pytest.raises(InvalidBodyError) as caught:
        split_inputs(read_body(PredictBody, json.dumps(body).encode()))
    assert f"'{name}'" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("a", (("a",), None)),
        (["a", "b"], (("a", "b"), None)),
        ([["a"], "b"], (("a", "b"), None)),
        ([["a", "b"], ["c", "d"]], (("a", "c"), ("b", "d"))),
    ],
)
def test_inputs_are_split_into_texts_and_pairs(inputs: object, expected: object) -> None:
    assert split_inputs(read_body(PredictBody, json.dumps({"inputs": inputs}).encode())) == expected


def test_a_query_without_the_name_or_with_broken_bytes_is_refused() -> None:
    with pytest.raises(InvalidBodyError, match="no 'content'"):
        read_query(b"text=a", "content")
    with pytest.raises(MalformedError, match="position 1"):
        read_query(b"content=a%ff", "content")
    with pytest.raises(MalformedError):
        read_query(b"content=%ed%a0%80", "content")
