"""The profile of a bundle: counts of the right texts, whatever their order and number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.toy_models import toy_state
from thinfer.core.codec import from_json
from thinfer.engine.base import EngineSpec
from thinfer.export.write import ExportRequest, write_engine
from thinfer.nn.predict import compute_logits
from thinfer.pipeline import profile as profile_module
from thinfer.pipeline.profile import profile_corpus
from thinfer.quality.drift import Profile, build_profile, read_facts
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import Decider
from thinfer.text.corpus import Corpus

STATE = toy_state()


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> tuple[EngineSpec, Path]:
    folder = tmp_path_factory.mktemp("form")
    request = ExportRequest(
        weights=STATE.weights, architecture=STATE.architecture, folder=folder, pad_id=STATE.pad_id
    )
    return write_engine("onnxruntime", "fp32", request), folder


def profile_texts(form: tuple[EngineSpec, Path], texts: list[str], **options: bool) -> Profile:
    raw = profile_corpus(
        Corpus(texts=tuple(texts)),
        STATE,
        form[0],
        folder=form[1],
        decider=Decider(LabelSet(STATE.labels, is_multi_label=options.get("several", False))),
        threads=1,
        source="dev",
    )
    return from_json(Profile, json.loads(raw))


def some_texts(number: int) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("abc de"), size=rng.integers(1, 12))) for _ in range(number)]


@pytest.mark.parametrize("number", [1, 31, 100])
def test_it_counts_what_the_model_answers(form: tuple[EngineSpec, Path], number: int) -> None:
    texts = some_texts(number)
    encoded = STATE.tokenizer.encode(texts)
    facts = read_facts(
        compute_logits(STATE.module(), encoded.batch, pad_id=STATE.pad_id),
        lengths=encoded.batch.lengths,
        unknown=encoded.unknown,
        decider=Decider(LabelSet(STATE.labels)),
    )
    wanted = build_profile(
        facts, STATE.labels, source="dev", engine="onnxruntime", precision="fp32"
    )
    found = profile_texts(form, texts)
    assert found.counts["label"] == wanted.counts["label"]
    assert found.counts["length"] == wanted.counts["length"]
    assert found.counts["unknown_rate"] == wanted.counts["unknown_rate"]
    assert found.mean_confidence == pytest.approx(wanted.mean_confidence, abs=1e-4)
    assert (found.texts, found.source, found.engine) == (number, "dev", "onnxruntime")


def test_of_many_texts_evenly_spread_ones_are_taken(
    form: tuple[EngineSpec, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_module, "_MOST_TEXTS", 10)
    found = profile_texts(form, ["a"] * 500 + ["a b c d e a b c d e"] * 500)
    assert found.texts == 10
    assert sorted(found.counts["length"], reverse=True)[:2] == [5, 5]


def test_several_labels_take_the_sigmoid(form: tuple[EngineSpec, Path]) -> None:
    texts = some_texts(50)
    single, several = (
        profile_texts(form, texts, several=kind).mean_confidence for kind in (False, True)
    )
    assert single != several
