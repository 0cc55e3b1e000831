"""The manifest: a round trip, and a digest of exactly what decides the answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.bundles import small_architecture
from thinfer.bundle import LAYOUT, EngineEntry, Manifest
from thinfer.errors import DataError
from thinfer.quality.operating import OperatingPoint

SHA = "0" * 64
ENGINE = EngineEntry(
    name="onnxruntime",
    precision="int8",
    files=(LAYOUT.graph,),
    logits_bound=0.5,
    options={"grouping": "length", "overhead_tokens": 48, "arena": True, "share": 0.25},
    chosen=True,
)
MANIFEST = Manifest(
    architecture=small_architecture(),
    labels=("normal", "广告", "abuse"),
    normal_label="normal",
    max_length=24,
    pad_id=0,
    engines=(ENGINE, replace(ENGINE, name="torch", chosen=False)),
    recipe=({"step": "vocabulary", "kept": 103, "why": None},),
    quality={"floors": ["accuracy>=99.5%"], "n": 12},
    files=dict.fromkeys((LAYOUT.tokenizer, LAYOUT.weights, LAYOUT.golden, LAYOUT.graph), SHA),
)


def test_a_manifest_survives_the_file() -> None:
    assert Manifest.decode(MANIFEST.encode()) == MANIFEST
    assert MANIFEST.chosen is ENGINE


def test_an_engine_names_the_blocks_that_it_leaves_in_fp32() -> None:
    assert ENGINE.kept_fp32 == ()
    one, two = (replace(ENGINE, options={"kept_fp32": names}) for names in ("pooler", "a.b,pooler"))
    assert (one.kept_fp32, two.kept_fp32) == (("pooler",), ("a.b", "pooler"))


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ("normal", "x", "abuse")},
        {"max_length": 23},
        {"pad_id": 1},
        {"problem_type": "multi_label_classification"},
        {"operating": OperatingPoint(thresholds={"abuse": 0.5})},
        {"architecture": replace(small_architecture(), activation="relu")},
        {"files": {**MANIFEST.files, LAYOUT.weights: "1" * 64}},
        {"files": {**MANIFEST.files, "engines/x/model.bin": SHA}},
    ],
)
def test_what_decides_the_answers_is_in_the_digest(changes: dict[str, Any]) -> None:
    changed = replace(MANIFEST, **changes)
    assert changed.compute_content_digest() != MANIFEST.compute_content_digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"machine": {"cpu": "x"}},
        {"quality": {}},
        {"recipe": ()},
        {"created": "2031-01-01T00:00:00Z"},
        {"libraries": {"numpy": "9"}},
        {"engines": (replace(ENGINE, options={"overhead_tokens": 1}),)},
        {"files": {**MANIFEST.files, LAYOUT.report: "1" * 64}},
        {"files": dict(sorted(MANIFEST.files.items(), reverse=True))},
    ],
)
def test_timings_and_reports_are_not(changes: dict[str, Any]) -> None:
    changed = replace(MANIFEST, **changes)
    assert changed.compute_content_digest() == MANIFEST.compute_content_digest()


def test_an_operating_point_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="outside 0 … 1"):
        replace(MANIFEST, operating=OperatingPoint(thresholds={"abuse": 7.0}))


def test_an_older_manifest_without_an_operating_point_is_plain() -> None:
    body = json.loads(MANIFEST.encode())
    body.pop("operating")
    found = Manifest.decode(json.dumps(body).encode())
    assert found.operating.is_plain
    assert found.compute_content_digest() == MANIFEST.compute_content_digest()


@pytest.mark.parametrize(
    "engines",
    [
        (),
        (replace(ENGINE, chosen=False),),
        (ENGINE, replace(ENGINE, name="torch")),
        (ENGINE, replace(ENGINE, chosen=False)),
    ],
)
def test_exactly_one_of_different_engines_is_chosen(engines: tuple[EngineEntry, ...]) -> None:
    with pytest.raises(DataError, match="contradicts itself"):
        replace(MANIFEST, engines=engines)


def test_a_file_that_an_engine_needs_must_be_listed() -> None:
    files = {name: digest for name, digest in MANIFEST.files.items() if name != LAYOUT.graph}
    lacking = replace(MANIFEST, files=files)
    sealed = replace(lacking, content_digest=lacking.compute_content_digest())
    with pytest.raises(DataError, match=r"no \['model\.onnx'\]"):
        sealed.check_files()
