"""A verdict computed again: it agrees with itself, and every lie is named with floor and field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.bundles import make_fake_bundle
from thinfer.bundle import LAYOUT, Bundle, open_bundle, update_manifest
from thinfer.core.codec import to_json
from thinfer.errors import DataError
from thinfer.pipeline.evidence import EvidenceFile, EvidenceHead, encode_evidence
from thinfer.pipeline.reproof import read_evidence, renew_evidence, verify_evidence
from thinfer.quality.floor import parse_floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.proof import Proof, prove
from thinfer.text.corpus import Corpus

pytest.importorskip("pyarrow")

LABELS = LabelSet(("normal", "spam", "abuse"), normal="normal")
FLOORS = ("flagged_recall>=90%", "macro_f1>=80%", "accuracy>=0.7")
ROWS = 300
SEED = 11
RNG = np.random.default_rng(1)
TRUTH = RNG.integers(0, 3, size=ROWS)
LOGITS = (np.eye(3)[TRUTH] * 3 + RNG.normal(size=(ROWS, 3))).astype(np.float32)
CHOSEN_LOGITS = (LOGITS + 0.1 * RNG.normal(size=(ROWS, 3))).astype(np.float32)
CORPUS = Corpus(
    texts=tuple(f"text {row}" for row in range(ROWS)),
    labels=tuple(LABELS.names[code] for code in TRUTH),
    name="test.csv",
)
EVIDENCE = EvidenceFile(
    head=EvidenceHead(
        labels=LABELS.names,
        normal_label=LABELS.normal,
        floors=FLOORS,
        seed=SEED,
        test_digest=CORPUS.digest,
    ),
    rows=np.asarray(CORPUS.rows),
    truth=TRUTH,
    original=LOGITS.argmax(axis=1),
    chosen=CHOSEN_LOGITS.argmax(axis=1),
    original_logits=LOGITS,
    chosen_logits=CHOSEN_LOGITS,
)


def prove_it(evidence: EvidenceFile) -> Proof:
    rows: dict[str, Any] = {
        "truth": evidence.truth,
        "original": evidence.original,
        "candidate": evidence.chosen,
    }
    floors = [parse_floor(expr, LABELS) for expr in FLOORS]
    return prove(floors, **rows, labels=LABELS, seed=evidence.head.seed)


def quality_of(evidence: EvidenceFile) -> dict[str, Any]:
    proof = prove_it(evidence)
    body: dict[str, Any] = {
        "verdicts": [to_json(verdict) for verdict in proof.floors],
        "verdict": proof.verdict,
        "metrics": to_json(proof.chosen),
        "n": len(evidence.rows),
        "seed": evidence.head.seed,
        "judgements": [{"test_digest": CORPUS.digest, "by": "compress"}],
    }
    return body


def report_of(evidence: EvidenceFile) -> dict[str, Any]:
    proof = prove_it(evidence)
    return {
        "floors": [to_json(verdict) for verdict in proof.floors],
        "original": {"metrics": to_json(proof.original)},
        "chosen": {"metrics": to_json(proof.chosen)},
        "answers": {
            "rows": evidence.rows.tolist(),
            "original": evidence.original.tolist(),
            "chosen": evidence.chosen.tolist(),
        },
    }


def make(
    folder: Path,
    *,
    evidence: EvidenceFile = EVIDENCE,
    quality: Mapping[str, Any] | None = None,
    report: Mapping[str, Any] | None = None,
) -> Bundle:
    plain = make_fake_bundle(folder / "bundle", normal_label="normal")
    manifest = replace(plain.manifest, quality=quality or quality_of(EVIDENCE))
    told = json.dumps(report or report_of(EVIDENCE)).encode()
    files = {LAYOUT.report: told, LAYOUT.evidence: encode_evidence(evidence)}
    update_manifest(plain, manifest, files=files)
    return open_bundle(folder / "bundle")


def test_a_true_verdict_comes_out_again(tmp_path: Path) -> None:
    bundle = make(tmp_path)
    found = verify_evidence(bundle, CORPUS)
    assert (found["rows"], found["floors"], found["is_data_checked"]) == (ROWS, 3, True)
    assert found["verdict"] == quality_of(EVIDENCE)["verdict"]
    assert found["figures"] > 60
    assert bundle.version == make_fake_bundle(tmp_path / "plain", normal_label="normal").version


def altered(body: Any, path: tuple[str | int, ...], value: object) -> Any:  # noqa: ANN401 - JSON
    """A copy of JSON with one value replaced."""
    copy = json.loads(json.dumps(body))
    place = copy
    for step in path[:-1]:
        place = place[step]
    assert place[path[-1]] != value
    place[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("verdict",), "proven", "the judgement: verdict"),
        (("n",), 299, "the judgement: rows"),
        (("seed",), 12, "the judgement: seed"),
        (("judgements", 0, "test_digest"), "00", "the judgement: test digest"),
        (("metrics",), None, "the chosen model on test: metrics"),
        (("verdicts",), [], "the judgement: floors"),
        (("metrics", "accuracy"), 0.99, "the chosen model on test: accuracy"),
        (("metrics", "recall", "spam"), 1.0, "the chosen model on test: recall"),
        (("verdicts", 0, "losses"), 0, "the floor 'flagged_recall>=90%': losses"),
        (("verdicts", 0, "trials"), 9, "the floor 'flagged_recall>=90%': trials"),
        (("verdicts", 1, "interval", 0), 0.9, "the floor 'macro_f1>=80%': interval"),
        (("verdicts", 1, "original"), 0.5, "the floor 'macro_f1>=80%': original"),
        (("verdicts", 2, "value"), None, "the floor 'accuracy>=0.7': value"),
        (("verdicts", 2, "gains"), 99, "the floor 'accuracy>=0.7': gains"),
        (("verdicts", 2, "limit"), 0.6, "the floor 'accuracy>=0.7': limit"),
        (("verdicts", 2, "rows_needed"), 7, "the floor 'accuracy>=0.7': rows_needed"),
    ],
)
def test_a_lie_of_the_manifest_is_named(
    tmp_path: Path, path: tuple[str | int, ...], value: object, said: str
) -> None:
    bundle = make(tmp_path, quality=altered(quality_of(EVIDENCE), path, value))
    with pytest.raises(DataError) as caught:
        verify_evidence(bundle)
    assert said in str(caught.value)
    assert LAYOUT.manifest in str(caught.value)
    assert "expected" in str(caught.value)
    assert "got" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("floors", 0, "verdict"), "proven", "the floor 'flagged_recall>=90%': verdict"),
        (("original", "metrics", "macro_f1"), 1.0, "the original model on test: macro_f1"),
        (("chosen", "metrics", "flag_rate"), 1.0, "the chosen model on test: flag_rate"),
        (("chosen",), {}, "the chosen model on test: metrics"),
        (("floors",), None, "the judgement: floors"),
        (("answers", "rows"), None, "rows that differ"),
        (("answers", "chosen"), [0] * ROWS, "chosen that differ"),
        (("answers", "original"), [0], "original that differ"),
        (("answers", "rows", 3), 7, "rows that differ"),
    ],
)
def test_a_lie_of_the_report_is_named(
    tmp_path: Path, path: tuple[str | int, ...], value: object, said: str
) -> None:
    bundle = make(tmp_path, report=altered(report_of(EVIDENCE), path, value))
    with pytest.raises(DataError) as caught:
        verify_evidence(bundle)
    assert said in str(caught.value)
    assert LAYOUT.report in str(caught.value)


def test_a_report_that_is_no_json_is_refused(tmp_path: Path) -> None:
    bundle = make(tmp_path)
    update_manifest(bundle, bundle.manifest, files={LAYOUT.report: b"{"})
    with pytest.raises(DataError, match="is not JSON"):
        verify_evidence(open_bundle(bundle.path))


def test_answers_that_are_not_those_of_their_logits_are_refused(tmp_path: Path) -> None:
    chosen = EVIDENCE.chosen.copy()
    chosen[4] = (chosen[4] + 1) % 3
    bundle = make(tmp_path, evidence=replace(EVIDENCE, chosen=chosen))
    with pytest.raises(DataError, match=r"1 answers in column 'chosen'.*in row 4"):
        verify_evidence(bundle)


def test_truths_that_were_bent_give_other_figures(tmp_path: Path) -> None:
    bundle = make(tmp_path, evidence=replace(EVIDENCE, truth=EVIDENCE.chosen))
    with pytest.raises(DataError, match="does not give what"):
        verify_evidence(bundle)


def test_truths_bent_together_with_the_figures_are_found_by_the_test_file(tmp_path: Path) -> None:
    bent = replace(EVIDENCE, truth=EVIDENCE.chosen)
    bundle = make(tmp_path, evidence=bent, quality=quality_of(bent), report=report_of(bent))
    verify_evidence(bundle)
    with pytest.raises(DataError, match=r"truths of the evidence are not those of 'test.csv'"):
        verify_evidence(bundle, CORPUS)


def test_another_test_file_is_refused(tmp_path: Path) -> None:
    bundle = make(tmp_path)
    other = replace(CORPUS, texts=("another text", *CORPUS.texts[1:]), digest="")
    for corpus in (other, CORPUS.select(range(100))):
        with pytest.raises(DataError, match="is not the test file that the evidence is of"):
            verify_evidence(bundle, corpus)


def test_a_bundle_without_evidence_says_how_to_get_it(tmp_path: Path) -> None:
    plain = make_fake_bundle(tmp_path / "plain", normal_label="normal")
    with pytest.raises(DataError, match=r"one never judged.*thinfer compress"):
        read_evidence(plain)
    older = update_manifest(plain, replace(plain.manifest, quality=quality_of(EVIDENCE)))
    with pytest.raises(DataError, match="before there was evidence"):
        verify_evidence(older)
    assert renew_evidence(older, LOGITS, floors=[], seed=0) is None


def test_after_a_new_engine_only_the_original_is_still_the_reports(tmp_path: Path) -> None:
    old = make(tmp_path)
    scores = CHOSEN_LOGITS.copy()
    scores[:5] = -scores[:5]
    renewed = renew_evidence(old, scores, floors=[{"expr": expr} for expr in FLOORS], seed=2)
    assert renewed is not None
    np.testing.assert_array_equal(renewed.original, EVIDENCE.original)
    quality = quality_of(renewed)
    quality["judgements"].append({"test_digest": CORPUS.digest, "by": "tune"})
    bundle = make(tmp_path / "tuned", evidence=renewed, quality=quality)
    assert verify_evidence(bundle, CORPUS)["verdict"] == quality["verdict"]


def test_a_damaged_file_is_refused_at_the_door(tmp_path: Path) -> None:
    bundle = make(tmp_path)
    raw = (bundle.path / LAYOUT.evidence).read_bytes()
    (bundle.path / LAYOUT.evidence).write_bytes(raw[:-1] + b"x")
    with pytest.raises(DataError, match=r"evidence\.parquet is damaged"):
        open_bundle(bundle.path)
