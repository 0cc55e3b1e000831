"""The gate: what it knows it answers, what is new to it it does not, and a damaged file is one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save

from tests.support.gates import make_gate
from thinfer.bundle.gate import Gate, GateFacts, find_features
from thinfer.core.codec import from_json, to_json
from thinfer.errors import DataError
from thinfer.text.ngrams import hash_ngrams


def test_a_text_of_known_ngrams_is_answered_and_one_with_a_new_one_is_not() -> None:
    gate = make_gate(["hello there", "你好"])
    logits = gate.logits(["hello", "ther", "你好", "你", "hellp", "好你", "", "ｈello"])
    answered = np.isfinite(logits).all(axis=1)
    assert answered.tolist() == [True, True, True, True, False, False, False, False]
    assert (logits[answered].argmax(axis=1) == 0).all()
    assert np.isnan(logits[~answered]).all()


def test_logits_are_those_of_the_linear_model() -> None:
    rng = np.random.default_rng(0)
    gate = make_gate(["abcabc"])
    gate = replace(gate, weights=rng.normal(size=gate.weights.shape).astype(np.float32))
    counts = np.zeros(len(gate.weights))
    for number in hash_ngrams("abcab", (1, 2)):
        counts[number & (len(counts) - 1)] += 1
    expected = counts / np.linalg.norm(counts) @ gate.weights + gate.bias
    np.testing.assert_allclose(gate.logits(["abcab"])[0], expected, rtol=1e-5)


@given(st.text(min_size=1, max_size=60), st.sampled_from([1, 8, 1 << 18]))
def test_features_have_unit_length(text: str, buckets: int) -> None:
    places, values = find_features(hash_ngrams(text, (1, 2)), buckets)
    assert (np.diff(places) > 0).all()
    assert places[0] >= 0
    assert places[-1] < buckets
    assert np.linalg.norm(values) == pytest.approx(1.0, rel=1e-5)


def test_a_gate_comes_back_as_it_was_written(tmp_path: Path) -> None:
    gate = make_gate(["hello"])
    digest = gate.write(tmp_path / "deep" / "gate.safetensors")
    found, again = Gate.read(tmp_path / "deep" / "gate.safetensors")
    assert (found.facts, again) == (gate.facts, digest)
    np.testing.assert_array_equal(found.logits(["hello"]), gate.logits(["hello"]))
    assert gate.encode() == found.encode()
    assert from_json(GateFacts, to_json(gate.facts)) == gate.facts


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "gate.safetensors"
    whole = make_gate(["hello"]).encode()
    tensors = {"weights": np.zeros((4, 2), dtype=np.float32)}
    facts = json.dumps(to_json(make_gate(["a"]).facts))
    for raw in (
        b"",
        b"{}",
        whole[:100],
        whole[:-1],
        save(tensors),
        save(tensors, metadata={"thinfer": "{"}),
        save(tensors, metadata={"thinfer": facts}),
    ):
        path.write_bytes(raw)
        with pytest.raises(DataError, match="cannot be read") as caught:
            Gate.read(path)
        assert "gate.safetensors" in str(caught.value)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        Gate.read(path)


def test_a_gate_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    gate = make_gate(["hello"])
    nan = np.full_like(gate.bias, np.nan)
    changes: tuple[dict[str, Any], ...] = (
        {"weights": gate.weights[:3]},
        {"weights": gate.weights[:, :2]},
        {"bias": gate.bias[:2]},
        {"bias": nan},
        {"seen": gate.seen[:-1]},
        {"facts": replace(gate.facts, labels=("a", "b"))},
        {"facts": replace(gate.facts, widths=())},
        {"facts": replace(gate.facts, widths=(0,))},
        {"facts": replace(gate.facts, known=())},
    )
    for change in changes:
        with pytest.raises(DataError, match="contradicts"):
            replace(gate, **change)
    tensors: dict[str, NDArray[Any]] = {"weights": gate.weights, "bias": gate.bias}
    tensors["seen"] = gate.seen.astype(np.int16)
    raw = save(tensors, metadata={"thinfer": json.dumps(to_json(gate.facts))})
    (tmp_path / "gate").write_bytes(raw)
    with pytest.raises(DataError, match="uint8"):
        Gate.read(tmp_path / "gate")
