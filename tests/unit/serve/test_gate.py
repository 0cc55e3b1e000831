"""A gate in front of the engine: what it knows never reaches the queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.cascades import make_policy
from tests.support.gates import make_gate
from tests.support.serving import Harness, serving
from thinfer.bundle import Bundle
from thinfer.classifier import Classifier
from thinfer.errors import DataError, UserError
from thinfer.quality.cascade import CascadePolicy, CascadeStage
from thinfer.serve.gate import open_gate
from thinfer.serve.observe import Metrics
from thinfer.serve.settings import ServeSettings, load_settings

KNOWN = ("good morning", "see you")


def policy_of(digest: str, bundle: Bundle) -> CascadePolicy:
    stage = CascadeStage(version=digest, engine="ngrams", precision="fp32")
    return replace(make_policy(None, bundle, threshold=0.9), small=stage)


def write_gate(folder: Path, bundle: Bundle) -> dict[str, Path]:
    """Write a gate and its policy; gives the settings."""
    gate = make_gate(KNOWN, answer="abuse", labels=("abuse", "normal", "spam"))
    digest = gate.write(folder / "gate")
    policy_of(digest, bundle).write(folder / "gate.json")
    return {"gate": folder / "gate", "gate_policy": folder / "gate.json"}


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    same = make_fake_bundle(tmp_path / "same")  # `serving` writes the same one again
    with serving(tmp_path, settings=write_gate(tmp_path, same)) as found:
        yield found


def test_a_known_text_is_answered_without_the_engine(harness: Harness) -> None:
    before = len(harness.engine.calls)
    answer = harness.client.get("/check", params={"content": "good"})
    assert answer.json()["result"] == "abuse"
    assert answer.json()["stage"] == "gate"
    assert answer.headers["x-thinfer-stage"] == "gate"
    assert answer.headers["x-thinfer-version"] == harness.classifier.version
    assert len(harness.engine.calls) == before
    samples = harness.samples()
    assert samples['thinfer_gate_total{outcome="answered"}'] == 1
    assert samples["thinfer_texts_total"] == 1
    drift = harness.client.get("/drift").json()
    assert (drift["texts"], drift["confidence"]["live"]) == (1, None)


def test_a_new_ngram_goes_to_the_engine_and_takes_its_request_along(harness: Harness) -> None:
    for texts in (["goodx"], ["good", "zzz"], [""]):
        (*_, expected) = harness.classifier.predict(texts)
        answer = harness.client.post("/predict", json={"inputs": texts})
        assert answer.json()[-1][0]["label"] == expected.label
        assert "x-thinfer-stage" not in answer.headers
    known = harness.client.post("/predict", json={"inputs": ["good", "see"]})
    assert [row[0]["label"] for row in known.json()] == ["abuse", "abuse"]
    pairs = harness.client.post("/predict", json={"inputs": [["good", "see"]]})
    assert "x-thinfer-stage" not in pairs.headers
    samples = harness.samples()
    assert samples['thinfer_gate_total{outcome="passed"}'] == 4
    assert samples['thinfer_gate_total{outcome="answered"}'] == 2


def test_another_version_than_the_policys_answers_for_itself(harness: Harness) -> None:
    harness.load(harness.make_bundle(5))
    answer = harness.client.get("/check", params={"content": "good"})
    assert "stage" not in answer.json()
    assert 'thinfer_gate_total{outcome="answered"}' not in harness.samples()


def test_what_was_not_made_for_each_other_is_refused(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    other = make_fake_bundle(tmp_path / "other", seed=9)
    told = load_settings(write_gate(tmp_path, bundle))
    with Classifier.open(other) as classifier, pytest.raises(DataError, match="another big"):
        open_gate(classifier, told, metrics=Metrics())
    with Classifier.open(bundle) as classifier:
        assert open_gate(classifier, told, metrics=Metrics()) is not None
        assert open_gate(classifier, ServeSettings(), metrics=Metrics()) is None
        strange = make_gate(KNOWN, labels=("normal", "spam", "ham"))
        policy_of(strange.write(tmp_path / "gate"), bundle).write(tmp_path / "gate.json")
        with pytest.raises(DataError, match="labels of the bundle"):
            open_gate(classifier, told, metrics=Metrics())
        make_gate(["else"]).write(tmp_path / "gate")
        with pytest.raises(DataError, match="another small"):
            open_gate(classifier, told, metrics=Metrics())


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(UserError, match="needed together"):
        load_settings({"gate": "a"})
    both = {"gate": "a", "gate_policy": "b", "cascade": "c", "cascade_to": "d"}
    with pytest.raises(UserError, match="exclude each other"):
        load_settings(both)
