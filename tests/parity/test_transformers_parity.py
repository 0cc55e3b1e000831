"""Our encoder gives the logits of transformers' eager FP32, family by family."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from tests.support.tiny_checkpoints import KINDS, LABELS, make_model, save_model
from thinfer.nn import compute_logits, load_checkpoint, save_checkpoint
from thinfer.nn.predict import pad_inputs
from thinfer.text.batch import Batch

TEXTS = ["w1 w2 w3", "w9", " ".join(f"w{index % 70}" for index in range(29)), "", "w4 zzz w80"]
PAIRS = ["w5", "w6 w7 w8", "w9 w10", "w11", ""]


def reference_logits(model: torch.nn.Module, batch: Batch, pad_id: int) -> NDArray[np.float32]:
    ids, mask, types = pad_inputs(batch, pad_id)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits
    found: NDArray[np.float32] = logits.numpy()
    return found


@pytest.mark.parametrize("as_bin", [False, True], ids=["safetensors", "bin"])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_equal_transformers(kind: str, as_bin: bool, tmp_path: Path) -> None:
    model = make_model(kind)
    save_model(model, tmp_path, as_bin=as_bin)
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.family == kind
    assert checkpoint.labels == LABELS
    pad_id = checkpoint.tokenizer.pad_id
    for pairs in (None, PAIRS):
        batch = checkpoint.tokenizer.encode(TEXTS, pairs).batch
        expected = reference_logits(model, batch, pad_id)
        assert np.ptp(expected) > 0.5
        got = compute_logits(checkpoint.model, batch, pad_id=pad_id)
        np.testing.assert_allclose(got, expected, atol=1e-5)
        # The traced path writes the attention out; padding must not leak into it either.
        traced = checkpoint.model.forward_traced(*pad_inputs(batch, pad_id)).logits
        np.testing.assert_allclose(traced.detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("activation", ["gelu_new", "relu", "silu"])
def test_other_activations(activation: str, tmp_path: Path) -> None:
    model = make_model("bert", hidden_act=activation)
    save_model(model, tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    batch = checkpoint.tokenizer.encode(TEXTS).batch
    got = compute_logits(checkpoint.model, batch, pad_id=0)
    np.testing.assert_allclose(got, reference_logits(model, batch, 0), atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_hidden_states_and_attention_equal_transformers(kind: str, tmp_path: Path) -> None:
    model = make_model(kind)
    save_model(model, tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    ids, mask, types = pad_inputs(
        checkpoint.tokenizer.encode(TEXTS).batch, checkpoint.tokenizer.pad_id
    )
    with torch.no_grad():
        expected = model(
            input_ids=ids,
            attention_mask=mask,
            token_type_ids=types,
            output_hidden_states=True,
            output_attentions=True,
        )
        trace = checkpoint.model.forward_traced(ids, mask, types)
    real = mask.bool()
    for ours, theirs in zip(trace.hidden, expected.hidden_states, strict=True):
        torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=0)
    for ours, theirs in zip(trace.attention, expected.attentions, strict=True):
        rows = real[:, None, :, None].expand_as(ours)
        torch.testing.assert_close(ours[rows], theirs[rows], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_what_we_save_transformers_loads(kind: str, tmp_path: Path) -> None:
    save_model(make_model(kind), tmp_path / "in")
    checkpoint = load_checkpoint(tmp_path / "in", max_length=20)
    save_checkpoint(checkpoint, tmp_path / "out")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert type(model).__name__ == type(make_model(kind)).__name__
    assert model.config.id2label == dict(enumerate(LABELS))
    assert tokenizer.model_max_length == 20
    for pairs in (None, PAIRS):
        encoded = tokenizer(TEXTS, pairs, padding=True, truncation=True, return_tensors="pt")
        batch = checkpoint.tokenizer.encode(TEXTS, pairs).batch
        ids, _, types = batch.padded(checkpoint.tokenizer.pad_id)
        np.testing.assert_array_equal(encoded["input_ids"].numpy(), ids)
        if "token_type_ids" in encoded:
            np.testing.assert_array_equal(encoded["token_type_ids"].numpy(), types)
        with torch.no_grad():
            expected = model.eval()(**encoded).logits.numpy()
        got = compute_logits(checkpoint.model, batch, pad_id=checkpoint.tokenizer.pad_id)
        np.testing.assert_allclose(got, expected, atol=1e-5)
    again = load_checkpoint(tmp_path / "out")
    assert again.max_length == 20
    assert again.architecture == checkpoint.architecture


def test_a_masked_language_model_can_be_fitted(tmp_path: Path) -> None:
    model = make_model("bert", "ForPreTraining")
    save_model(model, tmp_path)
    checkpoint = load_checkpoint(tmp_path, classes=["a", "b"])
    assert checkpoint.leftovers
    assert all(name.startswith("cls.") for name in checkpoint.leftovers)
    ids, mask, types = pad_inputs(checkpoint.tokenizer.encode(TEXTS).batch, 0)
    with torch.no_grad():
        expected = model.bert(input_ids=ids, attention_mask=mask, token_type_ids=types)
        trace = checkpoint.model.forward_traced(ids, mask, types)
    real = mask.bool()
    torch.testing.assert_close(
        trace.hidden[-1][real], expected.last_hidden_state[real], atol=1e-5, rtol=0
    )


def test_old_layer_norm_names_are_read(tmp_path: Path) -> None:
    model = make_model("bert")
    save_model(model, tmp_path, as_bin=True)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for name, value in model.state_dict().items()
    }
    old["bert.embeddings.position_ids"] = torch.arange(34)[None]
    torch.save(old, tmp_path / "pytorch_model.bin")
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.leftovers == ("bert.embeddings.position_ids",)
    batch = checkpoint.tokenizer.encode(TEXTS).batch
    got = compute_logits(checkpoint.model, batch, pad_id=0)
    np.testing.assert_allclose(got, reference_logits(model, batch, 0), atol=1e-5)


def test_a_sharded_checkpoint_is_read_whole(tmp_path: Path) -> None:
    model = make_model("ernie")
    save_model(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="9KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    checkpoint = load_checkpoint(tmp_path)
    batch = checkpoint.tokenizer.encode(TEXTS).batch
    got = compute_logits(checkpoint.model, batch, pad_id=0)
    np.testing.assert_allclose(got, reference_logits(model, batch, 0), atol=1e-5)
