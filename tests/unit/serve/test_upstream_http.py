"""An upstream over HTTP: whatever it says, there are logits or one error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinfer.serve.errors import UpstreamError
from thinfer.serve.upstream_http import HttpUpstream, read_rows
from thinfer.text.long_text import HEAD, LongText

LABELS = ("normal", "spam")
VERSION = "ab" * 32
GOOD = [[{"label": "spam", "score": 2.0}, {"label": "normal", "score": -1.5}]]


def encode(body: object) -> bytes:
    return json.dumps(body).encode()


def test_rows_come_in_the_order_of_the_labels() -> None:
    found = read_rows(encode(GOOD * 2), rows=2, labels=LABELS)
    assert found.dtype == np.float32
    assert found.tolist() == [[-1.5, 2.0]] * 2


def change(**values: object) -> list[Any]:
    return [[{**GOOD[0][0], **values}, GOOD[0][1]]]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 5000, "not JSON"),
        (encode({"error": "no"}), "another form"),
        (encode([]), "another form"),
        (encode(GOOD * 2), "another form"),
        (encode(GOOD[0]), "another form"),
        (encode([None]), "labels"),
        (encode([[]]), "labels"),
        (encode([["spam", "normal"]]), "labels"),
        (encode([GOOD[0][:1]]), "labels"),
        (encode([[*GOOD[0], *GOOD[0]]]), "labels"),
        (encode([[GOOD[0][0], GOOD[0][0]]]), "labels"),
        (encode(change(label="ham")), "labels"),
        (encode(change(label=["spam"])), "labels"),
        (encode(change(score="2")), "not a number"),
        (encode(change(score=None)), "not a number"),
        (encode(change(score=True)), "not a number"),
        (encode(change(score=float("nan"))), "not a number"),
        (encode(change(score=float("inf"))), "not a number"),
        (encode(change(score=1e39)), "not a number"),
        (encode(change(score=10**400)), "not a number"),
    ],
)
def test_whatever_else_comes_is_refused(raw: bytes, told: str) -> None:
    with pytest.raises(UpstreamError, match=told):
        read_rows(raw, rows=1, labels=LABELS)


LEAVES = st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(LABELS)
BODIES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["label", "score", "x"]), inner, max_size=3)
    ),
)


@given(BODIES, st.integers(1, 3))
def test_no_json_makes_another_error(body: object, rows: int) -> None:
    try:
        found = read_rows(encode(body), rows=rows, labels=LABELS)
    except UpstreamError:
        return
    assert found.shape == (rows, len(LABELS))
    assert np.isfinite(found).all()


def reply(
    raw: bytes = b"", *, status: int = 200, headers: dict[str, str] | None = None
) -> httpx2.Response:
    """An answer whose body is still on its way, as one from a socket is."""
    return httpx2.Response(status, stream=httpx2.ByteStream(raw), headers=headers)


def ask(
    handle: Callable[[httpx2.Request], httpx2.Response],
    texts: list[str],
    pairs: list[str] | None = None,
    *,
    key: str | None = None,
    long_text: LongText = HEAD,
) -> np.ndarray[Any, Any]:
    """Ask an upstream whose connections end in a function of this test."""

    async def run() -> np.ndarray[Any, Any]:
        upstream = HttpUpstream(
            "http://upstream/",
            version=VERSION,
            labels=LABELS,
            connect_timeout_s=1,
            timeout_s=1,
            transport=httpx2.MockTransport(handle),
            key=key,
        )
        upstream.start()
        try:
            return await upstream.ask(texts, pairs, long_text=long_text)
        finally:
            await upstream.stop()

    return asyncio.run(run())


def test_it_asks_for_raw_scores_and_sends_its_key() -> None:
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        rows = len(json.loads(request.content)["inputs"])
        headers = {"x-thinfer-version": VERSION[:12]}
        return reply(encode(GOOD * rows), headers=headers)

    assert ask(handle, ["a", "b"], key="secret").tolist() == [[-1.5, 2.0]] * 2
    ask(handle, ["a"], ["b"])
    assert [str(request.url) for request in seen] == ["http://upstream/predict"] * 2
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert "authorization" not in seen[1].headers
    assert json.loads(seen[0].content) == {"inputs": ["a", "b"], "raw_scores": True}
    assert json.loads(seen[1].content)["inputs"] == [["a", "b"]]


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (lambda: reply(b"{}", status=429), "429"),
        (lambda: reply(status=500), "500"),
        (lambda: reply(status=302, headers={"location": "http://elsewhere/"}), "302"),
        (lambda: reply(b"<html>"), "not JSON"),
        (lambda: reply(b" " * 100_000 + encode(GOOD)), "too long"),
        (
            lambda: reply(encode(GOOD), headers={"x-thinfer-version": "0" * 12}),
            "another bundle",
        ),
        (
            lambda: reply(headers={"content-encoding": "gzip"}),
            "compressed",
        ),
    ],
)
def test_an_answer_that_cannot_be_used_is_one_error(
    response: Callable[[], httpx2.Response], told: str
) -> None:
    with pytest.raises(UpstreamError, match=told):
        ask(lambda request: response(), ["a"])


def test_a_service_that_names_no_version_is_taken() -> None:
    assert ask(lambda request: reply(encode(GOOD)), ["a"]).shape == (1, 2)


def test_an_upstream_that_cannot_be_reached_is_one_error() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        message = "no"
        raise httpx2.ConnectError(message, request=request)

    with pytest.raises(UpstreamError, match="ConnectError"):
        ask(refuse, ["a"])


def test_it_hands_on_what_shall_become_of_long_texts() -> None:
    seen: list[dict[str, object]] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(json.loads(request.content))
        return reply(encode(GOOD), headers={"x-thinfer-version": VERSION[:12]})

    ask(handle, ["a"], long_text=LongText(policy="windows", pooling="max"))
    assert (seen[0]["long_text"], seen[0]["pooling"]) == ("windows", "max")
    ask(handle, ["a"], long_text=LongText(policy="tail"))
    assert seen[1]["long_text"] == "tail"
    assert "pooling" not in seen[1]
