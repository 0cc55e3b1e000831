"""Parity: transformers, Paddle, ONNX, INT8 and vocabulary pruning against our own encoder."""

from __future__ import annotations

import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import save
from benchmarks.settings import ROOT, RealSet, Settings, make_parser, say, to_settings
from thinfer.compress.embedding import prune_positions, prune_vocabulary
from thinfer.compress.state import State
from thinfer.engine.base import EngineSpec
from thinfer.engine.registry import available_engines, open_engine_folder
from thinfer.export.graph import build_graph
from thinfer.export.parity import compare_logits
from thinfer.export.write import EXPORTERS, ExportRequest, write_engine
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.predict import compute_logits
from thinfer.nn.save import save_checkpoint
from thinfer.pipeline.data import label_corpus
from thinfer.pipeline.original import state_of
from thinfer.quality.labels import LabelSet
from thinfer.text.batch import Batch
from thinfer.text.tokenizer import Tokenizer

FIXTURE = ROOT / "tests" / "fixtures" / "paddle_tiny"
_BATCH = 32
_SHOWN_FLIPS = 50
_CALIBRATION = 300
_FLOAT_ROWS = 1000  # of test; distances of logits settle long before

Logits = NDArray[np.float32]


def compare_set(settings: Settings, item: RealSet) -> dict[str, Any]:
    """Compare every form of one teacher on its test texts."""
    checkpoint = load_checkpoint(settings.teacher(item))
    state = state_of(checkpoint)
    corpus = settings.corpus(item, "test")
    batch = state.tokenizer.encode(corpus.texts).batch
    reference = compute_logits(state.module(), batch, pad_id=state.pad_id)
    few = np.unique(np.linspace(0, len(batch) - 1, _FLOAT_ROWS).astype(np.int64))
    result: dict[str, Any] = {"rows": len(batch), "float_rows": len(few)}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        save_checkpoint(checkpoint, place / "hf")
        spec = EngineSpec(name="transformers", precision="fp32", files=("model.safetensors",))
        got = _run(settings, place / "hf", spec, state, batch.select(few))
        result["transformers"] = _describe(reference[few], got)
        result["onnx"] = _compare_onnx(settings, place, state, batch.select(few), reference[few])
        result["native"] = _compare_native(settings, place, state, batch.select(few))
        texts = settings.corpus(item, "train", most=_CALIBRATION).texts
        calibration = state.tokenizer.encode(texts).batch
        result["reduced"] = _compare_reduced(
            settings, place, state, (batch, reference, calibration)
        )
    labelled = label_corpus(corpus, LabelSet(state.labels))
    right = float(np.mean(reference.argmax(axis=1) == labelled.truth))
    result["accuracy"] = right
    for form in result["reduced"].values():
        answers = np.asarray(form.pop("answers"))
        form["accuracy"] = float(np.mean(answers == labelled.truth))
    result["vocabulary"] = compare_vocabulary(settings, item, state)
    return result


def compare_paddle() -> dict[str, Any]:
    """Compare the checkpoint that PaddleNLP wrote with what Paddle answered."""
    checkpoint = load_checkpoint(FIXTURE)
    rows = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))
    got, same_ids = [], 0
    for row in rows:
        pairs = None if row["pair"] is None else [row["pair"]]
        batch = checkpoint.tokenizer.encode([row["text"]], pairs).batch
        same_ids += batch.ids.tolist() == row["ids"]
        got.append(compute_logits(checkpoint.model, batch, pad_id=checkpoint.tokenizer.pad_id)[0])
    wanted = np.asarray([row["logits"] for row in rows], dtype=np.float32)
    return {**_describe(wanted, np.stack(got)), "same_ids": same_ids}


def compare_vocabulary(settings: Settings, item: RealSet, state: State) -> dict[str, Any]:
    """Prune the vocabulary as `compress` does; covered text must get the same bits."""
    train, test = settings.corpus(item, "train"), settings.corpus(item, "test")
    shorter, _ = prune_positions(state, state.max_length)
    covering = (*train.texts, *settings.corpus(item, "dev").texts)
    pruned, report = prune_vocabulary(shorter, covering)
    covered = [*train.texts[:_FLOAT_ROWS], *_find_covered(state, pruned, test.texts)]
    first, second = (
        compute_logits(form.module(), form.tokenizer.encode(covered).batch, pad_id=form.pad_id)
        for form in (state, pruned)
    )
    tables = ("embeddings.word.weight", "embeddings.position.weight")
    return {
        "outcome": report.outcome,
        "covered_texts": len(covered),
        "is_identical": bool(np.array_equal(first, second)),
        "max_abs": float(np.abs(first - second).max()),
        **{
            f"{key}_{when}": value
            for when, form in (("before", state), ("after", pruned))
            for key, value in (
                ("rows", form.architecture.vocab),
                ("bytes", sum(form.weights[name].nbytes for name in tables)),
                ("unknown_rate", _measure_unknown(form.tokenizer, test.texts)),
            )
        },
    }


def _compare_onnx(
    settings: Settings, place: Path, state: State, batch: Batch, reference: Logits
) -> dict[str, Any]:
    """Both graphs: the fused one of a bundle, and the standard one that the original runs."""
    found = {}
    for name, is_fused in (("fused", True), ("standard", False)):
        folder = place / name
        folder.mkdir()
        graph = build_graph(state.weights, state.architecture, fused=is_fused)
        (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
        spec = EngineSpec(name="onnxruntime", precision="fp32", files=("model.onnx",))
        found[name] = _describe(reference, _run(settings, folder, spec, state, batch))
    return found


def _compare_native(
    settings: Settings, place: Path, state: State, batch: Batch
) -> dict[str, Any] | None:
    """Our engine's FP32 beside the standard graph in ONNX Runtime, which `_compare_onnx` wrote."""
    if available_engines()["native"] is not None:
        return None
    folder = place / "native"
    folder.mkdir()
    request = ExportRequest(
        weights=state.weights, architecture=state.architecture, folder=folder, pad_id=state.pad_id
    )
    spec = write_engine("native", "fp32", request)
    standard = EngineSpec(name="onnxruntime", precision="fp32", files=("model.onnx",))
    wanted = _run(settings, place / "standard", standard, state, batch)
    return _describe(wanted, _run(settings, folder, spec, state, batch))


def _compare_reduced(
    settings: Settings, place: Path, state: State, data: tuple[Batch, Logits, Batch]
) -> dict[str, Any]:
    """Every INT8 and BF16 form that this machine can run, on all test rows."""
    batch, reference, calibration = data
    missing, found = available_engines(), {}
    for engine, precision in EXPORTERS:
        if precision == "fp32" or missing[engine] is not None:
            continue
        name = f"{engine}-{precision}"
        say(f"  {name}")
        folder = place / name
        folder.mkdir()
        request = ExportRequest(
            weights=state.weights,
            architecture=state.architecture,
            folder=folder,
            pad_id=state.pad_id,
            calibration=calibration,
        )
        spec = write_engine(engine, precision, request)
        logits = _run(settings, folder, spec, state, batch)
        answers = logits.argmax(axis=1).tolist()
        found[name] = {**_describe(reference, logits), "answers": answers}
    return found


def _run(settings: Settings, folder: Path, spec: EngineSpec, state: State, batch: Batch) -> Logits:
    engine = open_engine_folder(
        folder, spec, state.architecture, pad_id=state.pad_id, threads=settings.threads
    )
    starts = range(0, len(batch), _BATCH)
    rows = [np.arange(start, min(start + _BATCH, len(batch))) for start in starts]
    logits = np.concatenate([engine.run(batch.select(part)) for part in rows])
    engine.close()
    return logits


def _describe(reference: Logits, got: Logits) -> dict[str, Any]:
    parity = compare_logits(reference, got)
    return {
        "rows": parity.rows,
        "max_abs": parity.max_abs,
        "agreement": parity.agreement,
        "flips": len(parity.label_flips),
        "flipped_rows": list(parity.label_flips[:_SHOWN_FLIPS]),
    }


def _find_covered(old: State, new: State, texts: tuple[str, ...]) -> list[str]:
    """Give the texts that both tokenizers spell alike."""
    spelled = []
    for form in (old, new):
        batch = form.tokenizer.encode(texts).batch
        names = [form.tokenizer.token(int(token)) for token in batch.ids]
        ends = batch.offsets.tolist()
        spelled.append([names[a:b] for a, b in pairwise(ends)])
    return [text for text, a, b in zip(texts, *spelled, strict=True) if a == b]


def _measure_unknown(tokenizer: Tokenizer, texts: tuple[str, ...]) -> float:
    encoding = tokenizer.encode(texts)
    return float(encoding.unknown.sum() / max(1, len(encoding.batch.ids)))


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    settings = to_settings(make_parser(__doc__).parse_args())
    save(settings, "parity", {"paddle-fixture": compare_paddle()})
    for item in settings.present():
        say(f"{item.name}: parity")
        save(settings, "parity", {item.name: compare_set(settings, item)})


if __name__ == "__main__":
    main()
