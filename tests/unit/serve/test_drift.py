"""Live histograms: what they hold, beside what is stored, and how much memory they may take."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.serving import Harness, serving
from thinfer.bundle import LAYOUT, Bundle, open_bundle, update_manifest
from thinfer.classifier import Classifier
from thinfer.core.codec import to_json
from thinfer.quality.drift import build_profile, read_facts
from thinfer.serve.drift import FLUSH_TEXTS, DriftWatch

TEXTS = [f"{a}{b} {c}" for a in "abcdefgh" for b in "ijklmnop" for c in "qrst"]  # 256


def answer_texts(watch: DriftWatch, classifier: Classifier, texts: list[str]) -> None:
    encoded = classifier.tokenizer.encode(texts)
    watch.observe(classifier, classifier.run_batch(encoded.batch), encoded)


def add_profile(bundle: Bundle, texts: list[str], *, raw: bytes | None = None) -> Bundle:
    with Classifier.open(bundle) as classifier:
        encoded = classifier.tokenizer.encode(texts)
        facts = read_facts(
            classifier.run_batch(encoded.batch),
            lengths=encoded.batch.lengths,
            unknown=encoded.unknown,
            decider=classifier.decider,
        )
        profile = build_profile(
            facts, classifier.labels, source="dev", engine="fake", precision="fp32"
        )
    body = json.dumps(to_json(profile)).encode() if raw is None else raw
    return update_manifest(bundle, bundle.manifest, files={LAYOUT.profile: body})


def test_the_window_holds_the_last_texts_however_they_came(tmp_path: Path) -> None:
    with Classifier.open(make_fake_bundle(tmp_path / "bundle")) as classifier:
        whole, single = DriftWatch(window=100), DriftWatch(window=100)
        answer_texts(whole, classifier, TEXTS)  # one lump, longer than the window
        for text in TEXTS:
            answer_texts(single, classifier, [text])
        first, second = whole.report(classifier), single.report(classifier)
        assert first == second
        assert (first["texts"], first["seen"], first["window"]) == (100, 256, 100)
        last = DriftWatch(window=1000)
        answer_texts(last, classifier, TEXTS[-100:])
        assert last.report(classifier)["quantities"] == first["quantities"]


def test_it_keeps_numbers_only_and_never_more_than_the_window(tmp_path: Path) -> None:
    with Classifier.open(make_fake_bundle(tmp_path / "bundle")) as classifier:
        watch = DriftWatch(window=50)
        for _ in range(3 * FLUSH_TEXTS):
            answer_texts(watch, classifier, ["ab"])
        window = watch._windows[classifier]
        assert window._pending_texts < FLUSH_TEXTS
        assert window._ring.nbytes == 4 * 50 * 8
        assert all(part.dtype != object for row in window._pending for part in row[:3])


def test_zero_watches_nothing(tmp_path: Path) -> None:
    with Classifier.open(make_fake_bundle(tmp_path / "bundle")) as classifier:
        watch = DriftWatch(window=0)
        answer_texts(watch, classifier, TEXTS)
        report = watch.report(classifier)
        assert (report["texts"], report["confidence"]["live"]) == (0, None)


def test_a_closed_version_takes_its_window_with_it(tmp_path: Path) -> None:
    watch = DriftWatch(window=50)
    with Classifier.open(make_fake_bundle(tmp_path / "bundle")) as classifier:
        answer_texts(watch, classifier, ["a"])
        assert len(watch._windows) == 1
    del classifier
    gc.collect()
    assert len(watch._windows) == 0


def test_what_a_gate_answers_counts_but_for_its_confidence(tmp_path: Path) -> None:
    with Classifier.open(
        make_fake_bundle(tmp_path / "bundle", normal_label="normal")
    ) as classifier:
        watch, encoded = DriftWatch(window=1000), classifier.tokenizer.encode(TEXTS)
        logits = classifier.run_batch(encoded.batch)
        watch.observe(classifier, logits, encoded, is_engine=False)
        gated = watch.report(classifier)
        assert (gated["texts"], gated["confidence"]["live"]) == (256, None)
        assert sum(gated["quantities"]["confidence"]["live"]) == 0
        assert sum(gated["quantities"]["label"]["live"]) == 256
        watch.observe(classifier, logits, encoded)
        both = watch.report(classifier)
        assert both["texts"] == 512
        assert sum(both["quantities"]["confidence"]["live"]) == 256
        wanted = [item.score for item in classifier.predict(TEXTS)]
        assert both["confidence"]["live"] == pytest.approx(np.mean(wanted), abs=1e-6)
        assert sum(both["quantities"]["flag"]["live"]) == 512
        found = {
            sample.name: sample.value for family in watch.collect() for sample in family.samples
        }
        assert (found["thinfer_drift_texts"], found["thinfer_drift_engine_texts"]) == (512, 256)


def drift_of(harness: Harness) -> Any:  # noqa: ANN401 - JSON
    return harness.client.get("/drift").json()


def test_a_bundle_without_a_profile_says_absent_and_still_shows_live(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        empty = drift_of(harness)
        assert (empty["texts"], empty["profile"]) == (0, "absent")
        assert "no profile" in empty["reason"]
        assert harness.client.post("/predict", json={"inputs": TEXTS[:120]}).status_code == 200
        body = drift_of(harness)
        assert body["version"] == harness.classifier.version
        assert body["texts"] == 120
        assert {item["verdict"] for item in body["quantities"].values()} == {"absent"}
        assert sum(body["quantities"]["label"]["live"]) == 120
        samples = harness.samples()
        version = harness.classifier.version
        assert samples[f'thinfer_drift_texts{{version="{version}"}}'] == 120
        assert not [name for name in samples if name.startswith("thinfer_drift_psi")]


def serve_profiled(
    tmp_path: Path, stored: list[str], live: list[str]
) -> tuple[Any, dict[str, float]]:
    bundle = make_fake_bundle(tmp_path / "own", normal_label="normal", max_length=24)
    add_profile(bundle, stored)
    with serving(tmp_path, bundle=bundle.path) as harness:
        assert harness.client.post("/predict", json={"inputs": live}).status_code == 200
        return drift_of(harness), harness.samples()


def test_the_same_texts_are_stable(tmp_path: Path) -> None:
    body, samples = serve_profiled(tmp_path, TEXTS, TEXTS)
    assert (body["profile"], body["source"], body["stored_texts"]) == ("present", "dev", 256)
    assert body["reason"] is None
    for quantity, shift in body["quantities"].items():
        assert shift["psi"] == pytest.approx(0, abs=1e-12), quantity
        assert shift["verdict"] == "stable"
        assert shift["live"] == shift["stored"]
    psi = {name: value for name, value in samples.items() if name.startswith("thinfer_drift_psi")}
    assert len(psi) == 5
    assert all(value == pytest.approx(0, abs=1e-12) for value in psi.values())


def test_longer_texts_with_unknown_characters_are_seen(tmp_path: Path) -> None:
    body, samples = serve_profiled(tmp_path, TEXTS, [f"☃ {text} {text}" for text in TEXTS])
    assert body["quantities"]["length"]["verdict"] == "large"
    assert body["quantities"]["unknown_rate"]["verdict"] == "large"
    (name,) = [name for name in samples if "psi" in name and 'quantity="length"' in name]
    assert samples[name] == body["quantities"]["length"]["psi"] > 0.25
    found = {name.partition("{")[0]: value for name, value in samples.items()}
    assert found["thinfer_golden_confidence"] == body["confidence"]["golden"]
    live = found["thinfer_drift_confidence_sum"] / found["thinfer_drift_engine_texts"]
    assert live == pytest.approx(body["confidence"]["live"])
    assert found["thinfer_drift_unknown_tokens"] == len(TEXTS)
    rate = found["thinfer_drift_unknown_tokens"] / found["thinfer_drift_tokens"]
    assert rate == pytest.approx(body["unknown_rate"])
    flagged = body["quantities"]["flag"]["live"][1]
    assert found["thinfer_drift_flagged_texts"] == flagged


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"kind": "thinfer.profile", "version": 9}'])
def test_a_profile_that_cannot_be_read_is_absent_with_the_reason(
    tmp_path: Path, raw: bytes
) -> None:
    bundle = add_profile(make_fake_bundle(tmp_path / "bundle"), ["a"], raw=raw)
    with Classifier.open(bundle) as classifier:
        watch = DriftWatch(window=10)
        answer_texts(watch, classifier, ["a"])
        report = watch.report(classifier)
        assert report["profile"] == "absent"
        assert LAYOUT.profile in report["reason"]
        assert report["texts"] == 1


def test_a_profile_does_not_change_the_version_but_is_sealed(tmp_path: Path) -> None:
    plain = make_fake_bundle(tmp_path / "bundle")
    profiled = add_profile(plain, TEXTS)
    assert profiled.version == plain.version
    assert open_bundle(profiled.path).profile() is not None
    place = profiled.path / LAYOUT.profile
    place.write_bytes(place.read_bytes().replace(b"dev", b"Dev"))
    with pytest.raises(Exception, match=LAYOUT.profile):
        open_bundle(profiled.path)


def test_several_labels_at_once_take_the_sigmoid(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle", multi_label=True)
    with Classifier.open(bundle) as classifier:
        watch = DriftWatch(window=10)
        answer_texts(watch, classifier, ["a", "b"])
        wanted = [item.score for item in classifier.predict(["a", "b"])]
        live = watch.report(classifier)["confidence"]["live"]
        assert live == pytest.approx(np.mean(wanted), abs=1e-6)


def test_each_version_has_its_own_window(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        old = harness.classifier.version
        harness.client.post("/predict", json={"inputs": TEXTS[:30]})
        new = harness.load(harness.make_bundle(1))["version"]
        harness.client.post("/predict", json={"inputs": TEXTS[:10]})
        body = drift_of(harness)
        assert (body["version"], body["texts"]) == (new, 10)
        earlier = harness.client.get("/drift", headers={"x-thinfer-use": old}).json()
        assert (earlier["version"], earlier["texts"]) == (old, 30)
        assert harness.client.get("/drift", headers={"x-thinfer-use": "nobody"}).status_code == 404
        samples = harness.samples()
        assert samples[f'thinfer_drift_texts{{version="{old}"}}'] == 30
        assert samples[f'thinfer_drift_texts{{version="{new}"}}'] == 10
