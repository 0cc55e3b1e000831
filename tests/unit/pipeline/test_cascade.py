"""`calibrate-cascade` on the fake engine, whose answers and scores are known beforehand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.bundles import make_fake_bundle
from thinfer.bundle import Bundle
from thinfer.classifier import Classifier
from thinfer.cli.main import main
from thinfer.core.clock import ManualClock
from thinfer.core.progress import SilentProgress
from thinfer.errors import DataError, UserError
from thinfer.pipeline.cascade import CascadeRequest, calibrate_cascade
from thinfer.quality.cascade import CascadePolicy, score_confidence
from thinfer.text.corpus import Corpus

LABELS = ("normal", "spam", "abuse")
OTHER_ORDER = ("abuse", "normal", "spam")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """A small and a big bundle that answer differently, with their classes in another order."""
    folder = tmp_path_factory.mktemp("pair")
    small = make_fake_bundle(folder / "small", labels=LABELS)
    big = make_fake_bundle(
        folder / "big", labels=OTHER_ORDER, options={"salt": 3}, seed=3, normal_label="normal"
    )
    return small, big


def answer(bundle: Bundle, texts: Sequence[str]) -> tuple[list[str], np.ndarray[Any, Any]]:
    with Classifier.open(bundle) as classifier:
        logits = classifier.logits(texts)
        labels = [classifier.labels[each] for each in logits.argmax(axis=1)]
        return labels, score_confidence(logits, 1.0)


def draw_corpus(
    pair: tuple[Bundle, Bundle], *, seed: int, rows: int = 400, is_agreed: bool = True
) -> Corpus:
    """Rows that the big model has right; the surer half of the small one's agree, or do not."""
    rng = np.random.default_rng(seed)
    letters = list("abcdefghij你好吗广告")
    texts = list(dict.fromkeys("".join(rng.choice(letters, size=9)) for _ in range(12 * rows)))
    mine, scores = answer(pair[0], texts)
    other, _ = answer(pair[1], texts)
    middle = float(np.median(scores))
    sure = [
        i for i in range(len(texts)) if scores[i] >= middle and (mine[i] == other[i]) == is_agreed
    ]
    unsure = [i for i in range(len(texts)) if scores[i] < middle and mine[i] != other[i]]
    kept = [*sure[: rows // 2], *unsure[: rows // 2]]
    assert len(kept) == rows
    return Corpus(
        texts=tuple(texts[i] for i in kept), labels=tuple(other[i] for i in kept), name="rows.csv"
    )


def request(pair: tuple[Bundle, Bundle], **more: Any) -> CascadeRequest:  # noqa: ANN401 - its fields
    told = {"data": draw_corpus(pair, seed=1), "floors": ("accuracy>=98%",), **more}
    return CascadeRequest(small=pair[0].path, big=pair[1].path, **told)


def calibrate(asked: CascadeRequest) -> tuple[CascadePolicy, dict[str, Any]]:
    clock = ManualClock(86_400)
    policy, result = calibrate_cascade(asked, progress=SilentProgress(), clock=clock)
    assert policy is not None
    return policy, result


def test_the_half_that_agrees_is_answered_here(pair: tuple[Bundle, Bundle]) -> None:
    policy, result = calibrate(request(pair, test=draw_corpus(pair, seed=2)))
    assert policy.small.version == pair[0].manifest.content_digest
    assert policy.big.version == pair[1].manifest.content_digest
    assert (policy.small.engine, policy.small.precision) == ("fake", "fp32")
    assert policy.labels == LABELS
    assert policy.normal_label == "normal"
    assert policy.created == "1970-01-02T00:00:00+00:00"
    # The temperature moves a few rows across the middle: there are three classes.
    assert result["dev"]["cloud_share"] == pytest.approx(0.5, abs=0.05)
    assert result["dev"]["verdict"] == "holds"
    test = result["test"]
    assert test["n"] == 400
    assert 0.35 < test["cloud_share"] < 0.65  # its own middle lies a little elsewhere
    assert test["metrics"]["big"]["accuracy"] == 1.0
    assert test["metrics"]["small"]["accuracy"] == 0.5
    assert test["metrics"]["cascade"]["accuracy"] > 0.95
    (floor,) = test["floors"]
    assert floor["expr"] == "accuracy>=98%"
    assert floor["interval"][0] <= floor["value"] <= floor["interval"][1]
    assert result["verdict"] == test["verdict"]
    assert result["stopped"]["cloud_share"] < result["dev"]["cloud_share"]
    # What is served sends on the very rows that were counted.
    with Classifier.open(pair[0]) as classifier:
        logits = classifier.logits(draw_corpus(pair, seed=1).texts)
    assert policy.goes_on(logits).mean() == result["dev"]["cloud_share"]


def test_the_same_command_gives_the_same_policy(pair: tuple[Bundle, Bundle]) -> None:
    assert calibrate(request(pair)) == calibrate(request(pair))
    assert calibrate(request(pair))[0].test is None


def test_test_rows_that_chose_do_not_judge(pair: tuple[Bundle, Bundle]) -> None:
    data, fresh = draw_corpus(pair, seed=1), draw_corpus(pair, seed=2)
    both = replace(
        fresh,
        texts=(*data.texts, *fresh.texts),
        labels=(*(data.labels or ()), *(fresh.labels or ())),
        rows=(),
        digest="",
    )
    _, result = calibrate(request(pair, data=data, test=both))
    assert result["test"]["n"] == len(set(fresh.texts) - set(data.texts))
    assert any("left out" in warning for warning in result["warnings"])
    with pytest.raises(DataError, match="stands in"):
        calibrate(request(pair, data=data, test=data))


def test_floors_that_no_threshold_holds_are_refused_with_share_1(
    pair: tuple[Bundle, Bundle],
) -> None:
    data = draw_corpus(pair, seed=1)
    asked = request(pair, floors=("accuracy>=99.9%",), test=draw_corpus(pair, seed=2))
    policy, result = calibrate_cascade(asked, progress=SilentProgress(), clock=ManualClock())
    assert policy is None
    assert (result["threshold"], result["dev"]["cloud_share"]) == (None, 1.0)
    assert result["test"] is None  # nothing is judged on it that will not be used
    assert result["verdict"] == "unproven"
    assert "rows would prove" in result["stopped"]["reasons"][0]
    wrong = replace(data, labels=tuple(answer(pair[0], data.texts)[0]), digest="")
    asked = request(pair, data=wrong, floors=("accuracy>=0.9",))
    policy, result = calibrate_cascade(asked, progress=SilentProgress(), clock=ManualClock())
    assert (policy, result["verdict"]) == (None, "broken")


def test_other_labels_are_refused(pair: tuple[Bundle, Bundle], tmp_path: Path) -> None:
    strange = make_fake_bundle(tmp_path / "strange", labels=("normal", "spam", "ham"))
    with pytest.raises(DataError, match="do not have the same labels"):
        calibrate(request((pair[0], strange), data=draw_corpus(pair, seed=1)))
    foreign = Corpus(texts=("a",), labels=("ham",), name="rows.csv")
    with pytest.raises(DataError, match="not labels of this model"):
        calibrate(request(pair, data=foreign))
    many = make_fake_bundle(tmp_path / "many", labels=LABELS, multi_label=True)
    with pytest.raises(UserError, match="cannot take part"):
        calibrate(request((many, pair[1]), data=draw_corpus(pair, seed=1)))
    with pytest.raises(UserError, match="makes no sense"):
        calibrate(request(pair, floors=("acuracy>=99%",)))


def write(corpus: Corpus, path: Path) -> Path:
    lines = [
        json.dumps({"text": text, "label": label})
        for text, label in zip(corpus.texts, corpus.labels or (), strict=True)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_the_command_writes_the_policy_and_says_what_it_measured(
    pair: tuple[Bundle, Bundle], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(draw_corpus(pair, seed=1), tmp_path / "dev.jsonl")
    test = write(draw_corpus(pair, seed=2), tmp_path / "test.jsonl")
    out = tmp_path / "cascade.json"
    words = [
        "calibrate-cascade", str(pair[0].path), "--to", str(pair[1].path), "--data", str(data),
        "--test", str(test), "--out", str(out), "--floor",
    ]  # fmt: skip
    assert main([*words, "accuracy>=95%", "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["policy"] == str(out)
    assert CascadePolicy.read(out).threshold == result["threshold"]
    assert main([*words, "accuracy>=95%", "--quiet"]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("go on", "test", "holds", "answered here"))
    out.unlink()
    assert main([*words, "accuracy>=99.9%", "--json", "--quiet"]) == 4
    captured = capsys.readouterr()
    assert "share 1" in captured.err
    assert json.loads(captured.out)["policy"] is None
    assert main([*words, "accuracy>=99.9%", "--quiet"]) == 4
    assert "no text can be answered here" in capsys.readouterr().out
    assert not out.exists()


def test_a_floor_that_breaks_on_test_is_4_and_the_policy_says_so(
    pair: tuple[Bundle, Bundle], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(draw_corpus(pair, seed=1), tmp_path / "dev.jsonl")
    test = write(draw_corpus(pair, seed=2, is_agreed=False), tmp_path / "test.jsonl")
    out = tmp_path / "cascade.json"
    words = [
        "calibrate-cascade", str(pair[0].path), "--to", str(pair[1].path), "--data", str(data),
        "--test", str(test), "--out", str(out), "--floor", "accuracy>=95%", "--quiet",
    ]  # fmt: skip
    assert main(words) == 4
    assert "breaks a floor" in capsys.readouterr().err
    policy = CascadePolicy.read(out)
    assert policy.dev["verdict"] == "holds"
    assert policy.test is not None
    assert policy.test["verdict"] == "broken"
