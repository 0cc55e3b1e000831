"""A checkpoint that PaddleNLP saved gives Paddle's ids and logits here, without Paddle."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thinfer.errors import DataError
from thinfer.nn import compute_logits, load_checkpoint, save_checkpoint

FIXTURE = Path(__file__).parents[1] / "fixtures" / "paddle_tiny"
ROWS: list[dict[str, Any]] = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["text"][:12] or "empty")
def test_ids_are_those_of_the_paddle_tokenizer(row: dict[str, Any]) -> None:
    tokenizer = load_checkpoint(FIXTURE).tokenizer
    pairs = None if row["pair"] is None else [row["pair"]]
    batch = tokenizer.encode([row["text"]], pairs).batch
    assert batch.ids.tolist() == row["ids"]
    assert batch.type_ids.tolist() == row["type_ids"]


def paddle_logits() -> tuple[list[str], list[str], np.ndarray[Any, Any]]:
    pairs = [row for row in ROWS if row["pair"] is not None]
    expected = np.array([row["logits"] for row in pairs], dtype=np.float32)
    return [row["text"] for row in pairs], [row["pair"] for row in pairs], expected


def test_logits_are_those_of_paddle() -> None:
    checkpoint = load_checkpoint(FIXTURE)
    assert checkpoint.family == "ernie-paddle"
    assert checkpoint.labels == ("正常", "广告", "辱骂")
    assert checkpoint.architecture.task_rows == 3
    assert checkpoint.architecture.vocab > checkpoint.tokenizer.vocab_size
    assert checkpoint.max_length == 48
    single = [row for row in ROWS if row["pair"] is None]
    batch = checkpoint.tokenizer.encode([row["text"] for row in single]).batch
    got = compute_logits(checkpoint.model, batch, pad_id=checkpoint.tokenizer.pad_id)
    np.testing.assert_allclose(got, [row["logits"] for row in single], atol=1e-4)
    texts, pairs, expected = paddle_logits()
    batch = checkpoint.tokenizer.encode(texts, pairs).batch
    got = compute_logits(checkpoint.model, batch, pad_id=checkpoint.tokenizer.pad_id)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_it_goes_out_as_a_transformers_directory(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(FIXTURE)
    save_checkpoint(checkpoint, tmp_path / "out")
    again = load_checkpoint(tmp_path / "out")
    assert again.family == "ernie"
    for name, value in checkpoint.model.weights().items():
        np.testing.assert_array_equal(again.model.weights()[name], value)


def test_a_base_model_gets_a_fresh_head(tmp_path: Path) -> None:
    # A base model is saved without the `ernie.` prefix, beside its pretraining head.
    folder = Path(shutil.copytree(FIXTURE, tmp_path / "base"))
    with (FIXTURE / "model_state.pdparams").open("rb") as stream:
        state = pickle.load(stream)
    bare = {
        name.removeprefix("ernie."): value
        for name, value in state.items()
        if name.startswith("ernie.")
    }
    bare["cls.predictions.decoder_bias"] = np.zeros(200, dtype=np.float32)
    (folder / "model_state.pdparams").write_bytes(pickle.dumps(bare, protocol=4))
    with pytest.raises(DataError, match=r"classifier\.weight"):
        load_checkpoint(folder)
    checkpoint = load_checkpoint(folder, classes=["a", "b"])
    assert checkpoint.labels == ("a", "b")
    assert checkpoint.leftovers == ("cls.predictions.decoder_bias",)
    kept = load_checkpoint(FIXTURE).model.weights()["layers.1.attention.query.weight"]
    got = checkpoint.model.weights()["layers.1.attention.query.weight"]
    np.testing.assert_array_equal(got, kept)
