"""From a form on disk to a bundle: what it carries, and that its golden set notices damage."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.support.toy_models import logits_of, toy_state, trained_state
from thinfer.bundle import LAYOUT, Bundle, open_bundle, update_manifest
from thinfer.bundle.manifest import ProblemType
from thinfer.classifier import Classifier
from thinfer.compress.state import State
from thinfer.engine.base import Precision
from thinfer.errors import EngineError
from thinfer.export.write import ExportRequest, write_engine
from thinfer.pipeline.finish import BundleParts, assemble_bundle


def assemble(folder: Path, state: State, engine: str, precision: Precision) -> Bundle:
    kind: ProblemType = "single_label_classification"
    if state.is_multi_label:
        kind = "multi_label_classification"
    form = folder / "form"
    form.mkdir(parents=True)
    request = ExportRequest(
        weights=state.weights, architecture=state.architecture, folder=form, pad_id=state.pad_id
    )
    return assemble_bundle(
        folder / "bundle",
        BundleParts(
            state=state,
            spec=write_engine(engine, precision, request),
            folder=form,
            normal_label="label 0",
            problem_type=kind,
            quality={"floors": []},
            threads=1,
            seed=0,
            documents={LAYOUT.card: b"# card\n"},
        ),
    )


@pytest.mark.parametrize(
    ("engine", "precision", "least"),
    [("onnxruntime", "fp32", 1e-3), ("onnxruntime", "int8", 5e-2), ("torch", "fp32", 1e-3)],
)
def test_every_engine_of_a_bundle_holds_the_golden_set(
    tmp_path: Path, engine: str, precision: Precision, least: float
) -> None:
    state = trained_state()
    bundle = assemble(tmp_path, state, engine, precision)
    names = [entry.name for entry in bundle.manifest.engines]
    assert names == list(dict.fromkeys([engine, "onnxruntime", "torch"]))
    chosen = next(entry for entry in bundle.manifest.engines if entry.chosen)
    assert (chosen.name, chosen.precision) == (engine, precision)
    assert chosen.logits_bound >= least
    assert (bundle.path / LAYOUT.graph).is_file()
    assert bundle.manifest.normal_label == "label 0"
    batch, logits = open_bundle(bundle.path).golden()
    np.testing.assert_allclose(logits, logits_of(state, batch), atol=1e-4)
    for name in names:
        with Classifier.open(bundle, engine=name, threads=1) as classifier:
            assert classifier.engine.info.name == name


def test_the_bound_is_tight_enough_to_notice_another_model(tmp_path: Path) -> None:
    state = trained_state()
    bundle = assemble(tmp_path, state, "onnxruntime", "int8")
    chosen = next(entry for entry in bundle.manifest.engines if entry.chosen)
    _, logits = bundle.golden()
    assert chosen.logits_bound < np.ptp(logits)
    other = assemble(tmp_path / "other", toy_state(state.architecture, seed=9), *PLAIN)
    graph = (other.path / LAYOUT.graph).read_bytes()
    files: dict[str, bytes | Path] = dict.fromkeys(chosen.files, graph)
    swapped = update_manifest(bundle, bundle.manifest, files=files)
    with pytest.raises(EngineError, match="golden"):
        Classifier.open(swapped, threads=1)


PLAIN: tuple[str, Precision] = ("onnxruntime", "fp32")


def test_a_model_without_any_clear_label_still_makes_a_bundle(tmp_path: Path) -> None:
    state = toy_state()
    weights = {**state.weights, "head.weight": state.weights["head.weight"] * 1e-4}
    weights["head.bias"] = np.zeros_like(weights["head.bias"])
    flat = State(
        weights=weights,
        architecture=state.architecture,
        tokenizer=state.tokenizer,
        labels=state.labels,
        max_length=state.max_length,
        pad_id=state.pad_id,
    )
    bundle = assemble(tmp_path, flat, *PLAIN)
    with Classifier.open(bundle, threads=1) as classifier:
        assert len(classifier.predict(["a"])) == 1


@pytest.mark.parametrize("scale", [1.0, 1e-4])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_golden_rows_of_several_labels_are_clear_of_zero(
    tmp_path: Path, precision: Precision, scale: float
) -> None:
    state = dataclasses.replace(trained_state(), is_multi_label=True)
    weights = {**state.weights, "head.weight": state.weights["head.weight"] * scale}
    small = dataclasses.replace(state, weights=weights)
    bundle = assemble(tmp_path, small, "onnxruntime", precision)
    _, logits = bundle.golden()
    assert np.abs(logits).min() > 0
    if scale == 1.0 and precision == "fp32":
        assert np.abs(logits).min() > 1e-3
    for entry in bundle.manifest.engines:
        with Classifier.open(bundle, engine=entry.name, threads=1) as classifier:
            assert classifier.is_multi_label


def test_the_same_parts_give_the_same_content(tmp_path: Path) -> None:
    first, second = (
        assemble(tmp_path / name, toy_state(), "onnxruntime", "int8") for name in ("one", "two")
    )
    assert first.version == second.version
    golden = [(bundle.path / LAYOUT.golden).read_bytes() for bundle in (first, second)]
    assert golden[0] == golden[1]
