"""`Classifier` answers as `transformers.pipeline("text-classification")` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.support.bundles import CHARACTERS, SPECIALS, tokenizer_json  # noqa: E402
from thinfer.bundle import (  # noqa: E402
    LAYOUT,
    EngineEntry,
    GoldenSet,
    Manifest,
    draw_sequences,
    encode_weights,
    write_bundle,
)
from thinfer.classifier import Classifier  # noqa: E402
from thinfer.export.write import ExportRequest, write_engine  # noqa: E402
from thinfer.nn.checkpoint import load_checkpoint  # noqa: E402
from thinfer.nn.predict import compute_logits  # noqa: E402

VOCABULARY = (*SPECIALS, *CHARACTERS, *(f"##{character}" for character in CHARACTERS))
TEXTS = ["spam", "", "你好, 广告!", "a longer text?", "unknown ☂", "spam", "w " * 200]
PAIRS: list[Any] = [
    {"text": "spam", "text_pair": "ham"},
    {"text": "alone"},
    {"text": "信息", "text_pair": ""},
    "plain",
]


def save_bert(folder: Path, *, labels: tuple[str, ...], problem_type: str | None) -> None:
    """A tiny BERT with random weights, written by transformers."""
    import torch

    torch.manual_seed(5)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=40, max_position_embeddings=64, problem_type=problem_type,
        id2label=dict(enumerate(labels)), label2id={name: at for at, name in enumerate(labels)},
        initializer_range=0.3,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).eval().save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer_json(VOCABULARY))
    transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), model_max_length=64,
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip


def pack(source: Path, target: Path) -> Classifier:
    """The same model as a bundle for ONNX Runtime."""
    checkpoint = load_checkpoint(source)
    weights = {name: value.numpy() for name, value in checkpoint.model.state_dict().items()}
    tokenizer, shape = checkpoint.tokenizer, checkpoint.architecture
    staging = target.with_name("staging")
    staging.mkdir()
    request = ExportRequest(
        weights=weights, architecture=shape, folder=staging, pad_id=tokenizer.pad_id
    )
    spec = write_engine("onnxruntime", "fp32", request)
    batch = draw_sequences(
        np.random.default_rng(0), vocab=shape.vocab, max_length=64, first=tokenizer.cls_id,
        last=tokenizer.sep_id, count=4,
    )  # fmt: skip
    logits = compute_logits(checkpoint.model, batch, pad_id=tokenizer.pad_id)
    entry = EngineEntry(name=spec.name, precision=spec.precision, files=spec.files, chosen=True)
    is_multi = checkpoint.problem_type == "multi_label"
    manifest = Manifest(
        architecture=shape, labels=checkpoint.labels, max_length=64, pad_id=tokenizer.pad_id,
        problem_type="multi_label_classification" if is_multi else "single_label_classification",
        engines=(entry,),
    )  # fmt: skip
    files: dict[str, bytes | Path] = {
        LAYOUT.tokenizer: tokenizer.to_json().encode(),
        LAYOUT.weights: encode_weights(weights),
        LAYOUT.golden: GoldenSet(batch=batch, logits=logits).encode(),
        **{name: staging / name for name in spec.files},
    }
    return Classifier.open(write_bundle(target, manifest, files=files), threads=1)


def check_equal(ours: object, theirs: object) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, list) and isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            check_equal(one, other)
    else:
        assert isinstance(ours, dict)
        assert isinstance(theirs, dict)
        assert list(ours) == list(theirs) == ["label", "score"]
        assert ours["label"] == theirs["label"]
        assert type(ours["score"]) is type(theirs["score"]) is float
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)


@pytest.mark.parametrize(
    ("labels", "problem_type"),
    [
        (("normal", "spam", "广告"), None),
        (("normal", "spam", "广告"), "multi_label_classification"),
        (("only",), None),
    ],
)
def test_the_answers_are_those_of_the_pipeline(
    tmp_path: Path, labels: tuple[str, ...], problem_type: str | None
) -> None:
    save_bert(tmp_path / "model", labels=labels, problem_type=problem_type)
    with pack(tmp_path / "model", tmp_path / "bundle") as ours:
        theirs = transformers.pipeline(
            "text-classification", model=str(tmp_path / "model"), device="cpu"
        )
        cut = {"truncation": True}
        for options in ({}, {"top_k": 1}, {"top_k": 2}, {"top_k": None}):
            for inputs in (TEXTS, TEXTS[0], TEXTS[6], PAIRS, PAIRS[0], [TEXTS[0]]):
                check_equal(ours(inputs, **options), theirs(inputs, **cut, **options))
        check_equal(
            ours("spam", top_k=None, function_to_apply="none"),
            theirs("spam", top_k=None, function_to_apply="none"),
        )
