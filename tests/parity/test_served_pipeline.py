"""What comes through HTTP is what `transformers.pipeline("text-classification")` gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.support.nasty_texts import NASTY_TEXTS  # noqa: E402
from tests.support.pipeline_models import pack_model, save_bert  # noqa: E402
from tests.support.serving import Harness, serving  # noqa: E402

MORE_TEXTS = (
    "\0",
    "a\0b",
    " " * 10_000,
    "\u202e\u2066abc\u2069 \u200f",
    "e" + "\u0301" * 5000,
    "Z\u0351\u036b\u0343\u036a a\u0300\u0301\u0302",
    "\U0001f600" * 50,
)
MILLION = ("a" * 1_000_000, "\u4f60" * 1_000_000)
TOLERANCE = 1e-4


@dataclass(slots=True)
class Both:
    """The service and the reference."""

    harness: Harness
    pipeline: Any

    def check(self, texts: list[Any], **fields: Any) -> None:  # noqa: ANN401 - as JSON has it
        pairs = [
            {"text": text[0], "text_pair": text[1]} if isinstance(text, list) else text
            for text in texts
        ]
        expected = self.pipeline(pairs, truncation=True, top_k=fields.get("top_k"))
        answer = self.harness.client.post("/predict", json={"inputs": texts, **fields})
        assert answer.status_code == 200, answer.text
        for found, wanted in zip(answer.json(), expected, strict=True):
            assert [row["label"] for row in found] == [row["label"] for row in wanted]
            scores = [row["score"] for row in wanted]
            assert [row["score"] for row in found] == pytest.approx(scores, abs=TOLERANCE)


@pytest.fixture(scope="module", params=[None, "multi_label_classification"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("served")
    labels = ("normal", "spam", "广告")
    save_bert(folder / "model", labels=labels, problem_type=request.param)
    with pack_model(folder / "model", folder / "bundle") as classifier:
        bundle = classifier.bundle
    pipeline = transformers.pipeline(
        "text-classification", model=str(folder / "model"), device="cpu"
    )
    with serving(folder, bundle=bundle) as harness:
        yield Both(harness, pipeline)


@pytest.mark.parametrize("top_k", [1, 2, 3, 9, None])
def test_scores_order_and_top_k(both: Both, top_k: int | None) -> None:
    both.check(["spam", "", "你好, 广告!", "unknown ☂", "w " * 200], top_k=top_k)
    both.check([["spam", "ham"], ["信息", "w " * 200]], top_k=top_k)


def test_nasty_texts_get_the_answer_of_the_reference(both: Both) -> None:
    both.check([*NASTY_TEXTS, *MORE_TEXTS])
    for text in MILLION:
        # The head is kept, so the reference need not read all of it.
        (wanted,) = both.pipeline([text[:200]], truncation=True)
        found = both.harness.client.post("/check", json={"content": text}).json()
        assert found["result"] == wanted["label"]
        assert found["probability"] == pytest.approx(wanted["score"], abs=TOLERANCE)


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=4)
)
def test_any_text_gets_the_answer_of_the_reference(both: Both, texts: list[str]) -> None:
    both.check(texts)


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.text(max_size=12), st.sampled_from(["utf-8", "utf-16", "latin-1"]))
def test_what_is_no_text_is_refused_on_every_route(both: Both, text: str, encoding: str) -> None:
    """Lone surrogates, escaped and raw, and other encodings: 200 only where it is valid UTF-8."""
    text = text + "\ud800"
    escaped = json.dumps({"content": text, "inputs": text, "input": text}).encode()
    raw = json.dumps({"content": text, "inputs": text, "input": text}, ensure_ascii=False)
    broken = raw.encode(encoding, "surrogatepass" if encoding != "latin-1" else "replace")
    for path in ("/check", "/predict", "/v1/moderations", "/v2/models/bundle/infer"):
        assert both.harness.client.post(path, content=escaped).status_code == 400
        assert both.harness.client.post(path, content=broken).status_code in {200, 400, 404, 422}
    query = quote(text.encode("utf-8", "surrogatepass"))
    assert both.harness.client.get(f"/check?content={query}").status_code == 400


def test_a_query_of_nasty_texts_gets_the_same_answers(both: Both) -> None:
    for text in NASTY_TEXTS:
        (wanted,) = both.pipeline([text], truncation=True)
        found = both.harness.client.get(f"/check?content={quote(text)}").json()
        assert (found["content"], found["result"]) == (text, wanted["label"])
        assert found["probability"] == pytest.approx(wanted["score"], abs=TOLERANCE)
