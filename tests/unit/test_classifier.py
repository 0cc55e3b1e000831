"""`Classifier`: opened only when the golden set agrees; answers in the pipeline's shapes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thinfer
from tests.support.bundles import CLS, SEP, VOCABULARY, expected_label, make_fake_bundle
from thinfer.bundle import LAYOUT, Bundle, update_manifest
from thinfer.classifier import Classifier, Prediction
from thinfer.engine.fake import fake_logits
from thinfer.errors import DataError, EngineError, UserError
from thinfer.quality.operating import OperatingPoint
from thinfer.text.batch import Batch
from thinfer.text.long_text import LongText, Policy, Pooling

TEXTS = ["spam", "你好", "", "x " * 250, "spam"]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_fake_bundle(tmp_path / "bundle")


@pytest.fixture
def classifier(bundle: Bundle) -> Classifier:
    return Classifier.open(bundle.path, threads=1)


def change_golden(bundle: Bundle, edit: Callable[[list[dict[str, Any]]], None]) -> Bundle:
    lines = (bundle.path / LAYOUT.golden).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    edit(rows)
    raw = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return update_manifest(bundle, bundle.manifest, files={LAYOUT.golden: raw})


def test_predictions_are_the_engines_answers_in_order(bundle: Bundle) -> None:
    with Classifier.open(bundle.path, threads=1) as classifier:
        answers = classifier.predict(TEXTS)
        assert [answer.label for answer in answers[:1]] == [
            expected_label(
                bundle, [CLS, *classifier.tokenizer.encode(["spam"]).batch.ids[1:-1], SEP]
            )
        ]
        assert answers[0] == answers[4]
        assert answers[2].tokens == 2  # an empty text is answered
        assert answers[2].label == expected_label(bundle, [CLS, SEP])
        assert [answer.truncated for answer in answers] == [False, False, False, True, False]
        assert answers[3].tokens == 24
        for answer in answers:
            assert answer.score == max(answer.scores.values())
            assert sum(answer.scores.values()) == pytest.approx(1, abs=1e-6)
            assert tuple(answer.scores) == classifier.labels
        assert classifier.version == bundle.version
        assert classifier.predict([]) == []
        logits = classifier.logits(["spam"])
        assert logits.dtype == np.float32


def test_many_texts_are_run_in_bounded_calls(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    run = classifier.engine.run

    def spy(batch: Batch) -> Any:  # noqa: ANN401 - passes through
        sizes.append(len(batch))
        return run(batch)

    monkeypatch.setattr(classifier.engine, "run", spy)
    texts = [VOCABULARY[5 + index % 30] * (index % 20) for index in range(100)]
    together = classifier.predict(texts)
    assert max(sizes) <= 32
    assert sum(sizes) == 100
    assert together == [classifier.predict([text])[0] for text in texts]
    monkeypatch.setattr("thinfer.classifier.BATCH_TOKENS", 48)
    sizes.clear()
    assert classifier.predict(["x " * 250] * 5) == [classifier.predict(["x " * 250])[0]] * 5
    assert max(sizes) <= 48 // 22


def test_the_call_takes_the_shapes_of_the_pipeline(classifier: Classifier) -> None:
    one = classifier("spam")
    assert one == [{"label": one[0]["label"], "score": one[0]["score"]}]
    assert classifier(["spam", "spam"]) == one * 2
    assert classifier({"text": "spam"}) == one[0]
    assert classifier([]) == []
    everything = classifier("spam", top_k=None)
    assert everything[0] == one[0]
    assert len(everything) == 3
    scores = [answer["score"] for answer in everything]
    assert scores == sorted(scores, reverse=True)
    assert classifier("spam", top_k=1) == one
    assert classifier(["spam"], top_k=2) == [everything[:2]]
    paired = classifier([{"text": "spam", "text_pair": "x"}, "spam", {"text": "spam"}])
    assert paired[1:] == one * 2
    assert paired[0]["score"] != one[0]["score"]
    logits = classifier.logits(["spam"])[0].tolist()
    raw = classifier("spam", top_k=None, function_to_apply="none")
    assert [answer["score"] for answer in raw] == sorted(logits, reverse=True)


@pytest.mark.parametrize("bad", [[1], [{"content": "x"}], [["a", "b"]], [{"text": None}], [None]])
def test_an_input_that_is_no_text_is_refused(classifier: Classifier, bad: list[Any]) -> None:
    with pytest.raises(UserError, match="cannot be classified"):
        classifier(bad)


def test_many_labels_are_scored_each_by_itself(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle", multi_label=True)
    with Classifier.open(bundle.path, threads=1) as classifier:
        logits = classifier.logits(["spam"])[0]
        expected = 1 / (1 + np.exp(-logits.astype(np.float64)))
        answer = classifier.predict(["spam"])[0]
        assert list(answer.scores.values()) == pytest.approx(expected.tolist(), abs=1e-6)


def test_many_labels_are_answered_together(tmp_path: Path) -> None:
    point = OperatingPoint(thresholds={"spam": 0.6}, offsets=(0.5, 0.0, -0.5))
    bundle = make_fake_bundle(tmp_path / "bundle", multi_label=True, operating=point)
    texts = ["spam", "a b c", "x"]
    with Classifier.open(bundle.path, threads=1) as classifier:
        moved = classifier.logits(texts).astype(np.float64) + np.array([0.5, 0.0, -0.5])
        reached = 1 / (1 + np.exp(-moved)) >= np.array([0.5, 0.6, 0.5])
        for answer, row in zip(classifier.predict(texts), reached, strict=True):
            assert answer.labels == tuple(
                name for name, held in zip(classifier.labels, row, strict=True) if held
            )
            assert not answer.labels or answer.label in answer.labels


def test_a_threshold_decides_what_is_answered(tmp_path: Path) -> None:
    plain = make_fake_bundle(tmp_path / "plain", normal_label="normal")
    texts = [f"text {number}" for number in range(40)]
    with Classifier.open(plain.path, threads=1) as classifier:
        scores = np.array([list(item.scores.values()) for item in classifier.predict(texts)])
    level = float(np.quantile(scores[:, 1], 0.3))
    point = OperatingPoint(thresholds={"spam": level})
    low = make_fake_bundle(tmp_path / "low", normal_label="normal", operating=point)
    assert low.version != plain.version
    with Classifier.open(low.path, threads=1) as classifier:
        answers = classifier.predict(texts)
    for answer, row in zip(answers, scores, strict=True):
        wanted = 1 if row[1] >= np.float32(level) else (0, 2)[int(row[2] > row[0])]
        assert answer.label == classifier.labels[wanted]
        assert answer.score == pytest.approx(row[wanted], abs=1e-6)
        assert answer.labels == (answer.label,)


def test_a_single_label_is_scored_by_a_sigmoid(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle", labels=("only",))
    with Classifier.open(bundle.path, threads=1) as classifier:
        assert classifier("spam")[0]["score"] == pytest.approx(1 / (1 + np.exp(-4.0)))


def test_an_engine_that_strays_is_refused_at_opening(bundle: Bundle) -> None:
    def nudge(rows: list[dict[str, Any]]) -> None:
        rows[2]["logits"][0] += 0.002

    with pytest.raises(EngineError, match=r"golden row 2.*difference of 0\.002"):
        Classifier.open(change_golden(bundle, nudge))
    wide = replace(bundle.manifest.chosen, logits_bound=0.01)
    update_manifest(bundle, replace(bundle.manifest, engines=(wide,)))
    Classifier.open(bundle.path).close()


def test_another_label_is_refused_even_within_the_bound(bundle: Bundle) -> None:
    wide = replace(bundle.manifest.chosen, logits_bound=100.0)
    bundle = update_manifest(bundle, replace(bundle.manifest, engines=(wide,)))
    Classifier.open(bundle).close()

    def swap(rows: list[dict[str, Any]]) -> None:
        rows[4]["logits"] = rows[4]["logits"][1:] + rows[4]["logits"][:1]

    with pytest.raises(EngineError, match=r"golden row 4.*label"):
        Classifier.open(change_golden(bundle, swap))


def test_an_engine_that_gives_nan_is_refused(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle", options={"nan": True})
    with pytest.raises(EngineError, match="golden row 0"):
        Classifier.open(bundle)


def test_nan_after_opening_is_an_error_and_no_answer(tmp_path: Path) -> None:
    # the marker is a character that the golden set has not drawn
    probe = make_fake_bundle(tmp_path / "probe")
    drawn = set(probe.golden()[0].ids.tolist())
    poison = next(token for token in range(5, 40) if token not in drawn)
    bundle = make_fake_bundle(tmp_path / "bundle", options={"nan_on_id": poison})
    with Classifier.open(bundle, threads=1) as classifier:
        for call in (classifier, classifier.predict):
            with pytest.raises(EngineError, match="row 1"):
                call(["", VOCABULARY[poison]])


def test_a_damaged_bundle_and_an_absent_engine_are_refused(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="openvino"):
        Classifier.open(bundle, engine="openvino")
    (bundle.path / LAYOUT.card).unlink()
    with pytest.raises(DataError, match="README"):
        Classifier.open(bundle.path)


def test_the_engine_closes_with_the_classifier(classifier: Classifier) -> None:
    classifier.close()
    with pytest.raises(EngineError, match="closed"):
        classifier.predict(["x"])


def test_encoded_texts_are_answered_alike(classifier: Classifier) -> None:
    encoding = classifier.tokenizer.encode(TEXTS)
    answers: list[Prediction] = classifier.predict_encoded(encoding)
    assert answers == classifier.predict(TEXTS)
    expected = fake_logits(encoding.batch, classes=3)
    assert (classifier.run_batch(encoding.batch) == expected).all()


def test_the_package_offers_it_lazily_and_without_torch(bundle: Bundle) -> None:
    assert thinfer.Classifier is Classifier
    script = (
        "import sys, thinfer; assert 'thinfer.classifier' not in sys.modules;"
        f"c = thinfer.Classifier.open({str(bundle.path)!r}); c('x');"
        "bad = {'torch', 'onnx', 'transformers'} & set(sys.modules);"
        "raise SystemExit(str(bad) if bad else 0)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


LETTERS = "a b c d e f g h i j k l m n o p q r s t u v w x y z"


def test_each_policy_reads_what_it_names(classifier: Classifier) -> None:
    letters = LETTERS.split()
    kept = {
        "head": letters[:22],
        "tail": letters[-22:],
        "head_tail": [*letters[:11], *letters[-11:]],
    }
    policies: tuple[Policy, ...] = ("head", "tail", "head_tail")
    for policy in policies:
        (answer,) = classifier.predict([LETTERS], long_text=policy)
        (expected,) = classifier.predict([" ".join(kept[policy])])
        assert answer.scores == expected.scores
        assert (answer.truncated, answer.tokens, answer.tokens_total) == (True, 24, 28)
    assert classifier.predict([LETTERS]) == classifier.predict([LETTERS], long_text="head")
    with pytest.raises(DataError, match="too long"):
        classifier.predict([LETTERS], long_text="error")
    assert classifier.predict(["a"], long_text="error") == classifier.predict(["a"])


def test_windows_are_pooled_text_by_text(tmp_path: Path) -> None:
    texts = ["a", LETTERS, "b"]
    windows = [" ".join(LETTERS.split()[part]) for part in (slice(22), slice(4, None))]
    for normal in (None, "normal"):
        bundle = make_fake_bundle(tmp_path / f"{normal}", normal_label=normal)
        with Classifier.open(bundle) as opened:
            answers = opened.predict(texts, long_text="windows")
            assert [answer.windows for answer in answers] == [1, 2, 1]
            assert [answers[0], answers[2]] == opened.predict(["a", "b"])
            long = answers[1]
            assert (long.truncated, long.tokens, long.tokens_total) == (False, 48, 28)
            logits = opened.logits(windows)
            if normal is None:  # nobody says how: mean
                row = logits.mean(axis=0)
            else:  # the window where a finding is furthest ahead
                row = logits[(logits[:, 1:].max(axis=1) - logits[:, 0]).argmax()]
            scores = np.exp(row) / np.exp(row).sum()
            assert list(long.scores.values()) == pytest.approx(scores.tolist(), abs=1e-6)
            pooling: Pooling = "mean" if normal is None else "max"
            named = LongText(policy="windows", pooling=pooling)
            assert opened.predict([LETTERS], long_text=named) == [long]
