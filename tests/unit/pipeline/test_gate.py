"""`fit-gate`: the gate learns what the bundle answers, and is calibrated like any small model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.small_task import small_task
from thinfer.classifier import Classifier
from thinfer.cli.main import main
from thinfer.core.clock import ManualClock
from thinfer.core.progress import SilentProgress
from thinfer.errors import DataError, UserError
from thinfer.pipeline.cascade import CascadeRequest, calibrate_cascade
from thinfer.pipeline.gate import fit_gate
from thinfer.text.corpus import Corpus

pytest.importorskip("sklearn", reason="the gate is fitted with scikit-learn")

Capture = pytest.CaptureFixture[str]


def draw(rows: int, seed: int) -> Corpus:
    """Texts of one of two characters, whatever the model says of them."""
    rng = np.random.default_rng(seed)
    texts = tuple("".join(rng.choice(list("ab"), size=3)) for _ in range(rows))
    return Corpus(texts=texts, name="rows.csv")


def test_it_learns_the_answers_of_the_bundle_and_the_same_each_time(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    told = {"seed": 0, "threads": 1, "progress": SilentProgress()}
    gate = fit_gate(bundle.path, draw(400, 0), **told, widths=(1, 2, 3), known=(1, 2))  # type: ignore[arg-type]
    corpus = draw(40, 1)
    with Classifier.open(bundle) as classifier:
        expected = classifier.logits(corpus.texts).argmax(axis=1)
    found = gate.logits(corpus.texts)
    assert np.isfinite(found).all()
    assert (found.argmax(axis=1) == expected).mean() > 0.9
    assert np.isnan(gate.logits(["abc"])).all()
    assert gate.facts.model == bundle.manifest.content_digest
    again = fit_gate(bundle.path, draw(400, 0), **told, widths=(1, 2, 3), known=(1, 2))  # type: ignore[arg-type]
    assert again.encode() == gate.encode()


def test_less_need_be_known_than_counts(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    corpus = Corpus(texts=("ab", "cd"), name="rows.csv")
    told = {"seed": 0, "threads": 1, "progress": SilentProgress()}
    strict = fit_gate(bundle.path, corpus, **told)  # type: ignore[arg-type]
    assert np.isnan(strict.logits(["abcd"])).all()
    loose = fit_gate(bundle.path, corpus, **told, known=(1,))  # type: ignore[arg-type]
    assert np.isfinite(loose.logits(["abcd"])).all()
    assert np.isnan(loose.logits(["abce"])).all()


def test_a_class_that_is_never_answered_is_out_of_reach(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    with Classifier.open(bundle) as classifier:
        texts = [text for text in draw(200, 0).texts]
        answers = classifier.logits(texts).argmax(axis=1)
    two = [text for text, answer in zip(texts, answers, strict=True) if answer != 2]
    corpus = Corpus(texts=tuple(two), name="two.csv")
    gate = fit_gate(bundle.path, corpus, seed=0, threads=1, progress=SilentProgress())
    assert (gate.logits(two).argmax(axis=1) != 2).all()


def test_pairs_and_several_labels_are_refused(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "many", multi_label=True)
    pairs = Corpus(texts=("a",), pairs=("b",), name="pairs.csv")
    for corpus, told in ((pairs, "single texts"), (draw(3, 0), "cannot take part")):
        with pytest.raises(UserError, match=told):
            fit_gate(bundle.path, corpus, seed=0, threads=1, progress=SilentProgress())


def test_a_gate_is_fitted_calibrated_and_says_what_it_answers(
    tmp_path: Path, capsys: Capture
) -> None:
    task, bundle, gate = small_task(), tmp_path / "bundle", tmp_path / "gate"
    assert main(["pack", str(task.model), "--out", str(bundle), "--quiet"]) == 0
    words = ["fit-gate", str(bundle), "--train", str(task.train), "--out", str(gate), "--quiet"]
    assert main([*words, "--widths", "0"]) == 2
    assert main([*words, "--widths", "2,1", "--json"]) == 0
    captured = capsys.readouterr().out
    fitted = json.loads(captured[captured.index("{") :])
    assert fitted["n"] == 400
    out = tmp_path / "gate.json"
    words = [
        "calibrate-cascade", str(gate), "--to", str(bundle), "--data", str(task.dev),
        "--test", str(task.test), "--floor", "accuracy>=80%", "--out", str(out), "--quiet",
    ]  # fmt: skip
    assert main([*words, "--json"]) in (0, 4)
    result = json.loads(capsys.readouterr().out)
    assert result["small"]["version"] == fitted["digest"]
    assert result["small"]["engine"] == "ngrams"
    assert 0 < result["dev"]["cloud_share"] < 1, result
    assert result["dev"]["verdict"] == "holds"


def test_a_gate_that_knows_no_row_is_refused(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    gate = fit_gate(bundle.path, draw(50, 0), seed=0, threads=1, progress=SilentProgress())
    gate.write(tmp_path / "gate")
    rows = Corpus(texts=("xyz",), labels=("spam",), name="rows.csv")
    asked = CascadeRequest(small=tmp_path / "gate", big=bundle.path, data=rows)
    with pytest.raises(DataError, match="knows no row"):
        calibrate_cascade(asked, progress=SilentProgress(), clock=ManualClock())
    two = Corpus(texts=("ab",), pairs=("ab",), labels=("spam",), name="rows.csv")
    asked = CascadeRequest(small=tmp_path / "gate", big=bundle.path, data=two)
    with pytest.raises(UserError, match="single texts"):
        calibrate_cascade(asked, progress=SilentProgress(), clock=ManualClock())
