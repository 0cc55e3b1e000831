"""A tiny BERT with random weights, as `transformers` writes it and as a bundle for ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers

from tests.support.bundles import CHARACTERS, SPECIALS, tokenizer_json
from thinfer.bundle import (
    LAYOUT,
    EngineEntry,
    GoldenSet,
    Manifest,
    draw_sequences,
    encode_weights,
    write_bundle,
)
from thinfer.classifier import Classifier
from thinfer.export.write import ExportRequest, write_engine
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.predict import compute_logits

VOCABULARY = (*SPECIALS, *CHARACTERS, *(f"##{character}" for character in CHARACTERS))


def save_bert(folder: Path, *, labels: tuple[str, ...], problem_type: str | None) -> None:
    """A tiny BERT with random weights, written by transformers."""
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


def pack_model(source: Path, target: Path) -> Classifier:
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
