import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from tests.support.tiny_checkpoints import (
    LABELS,
    VOCAB,
    make_model,
    save_model,
    write_tokenizer,
)
from thinfer.errors import DataError, UserError
from thinfer.nn import checkpoint as module
from thinfer.nn import compute_logits, load_checkpoint, resolve_model


class Poison:
    """A pickle that writes a file when it is loaded by an unguarded reader."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good BERT checkpoint, to be damaged."""
    save_model(make_model("bert"), tmp_path / "model")
    return tmp_path / "model"


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    kept = {key: value for key, value in config.items() if value is not ...}
    path.write_text(json.dumps(kept))


def edit_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    path = folder / "model.safetensors"
    tensors = {**safetensors.torch.load_file(path), **changes}
    kept = {name: value for name, value in tensors.items() if value is not None}
    safetensors.torch.save_file(kept, path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_safetensors_are_refused(folder: Path, share: float) -> None:
    path = folder / "model.safetensors"
    body = path.read_bytes()
    path.write_bytes(body[: int(len(body) * share)])
    with pytest.raises(DataError, match=r"model\.safetensors' is damaged"):
        load_checkpoint(folder)


def test_an_absurd_header_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(DataError, match="damaged"):
        load_checkpoint(folder)


def test_a_bin_with_code_is_refused_and_not_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (folder / "model.safetensors").unlink()
    state = {**make_model("bert").state_dict(), "extra": Poison(f"touch {mark}")}
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match="was not run"):
        load_checkpoint(folder)
    assert not mark.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert mark.exists()  # the poison works where nobody guards


def test_a_truncated_bin_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    torch.save(make_model("bert").state_dict(), path)
    body = path.read_bytes()
    for length in (0, 10, len(body) // 2, len(body) - 9):
        path.write_bytes(body[:length])
        with pytest.raises(DataError, match=r"pytorch_model\.bin"):
            load_checkpoint(folder)


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"a": 3}])
def test_a_bin_that_is_no_state_dict_is_refused(folder: Path, content: object) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"state dict|something else"):
        load_checkpoint(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_spoilt_weights_are_refused(folder: Path, value: float) -> None:
    bias = torch.zeros(3)
    bias[1] = value
    edit_weights(folder, **{"classifier.bias": bias})
    with pytest.raises(DataError, match=r"NaN or infinite values in classifier\.bias"):
        load_checkpoint(folder)


def test_more_tokens_than_rows_are_refused(folder: Path) -> None:
    write_tokenizer(folder, size=VOCAB + 1)
    with pytest.raises(DataError, match="do not belong together"):
        load_checkpoint(folder)
    write_tokenizer(folder, size=VOCAB)
    assert load_checkpoint(folder).tokenizer.vocab_size == VOCAB


def test_missing_and_left_over_weights_are_named(folder: Path) -> None:
    edit_weights(folder, **{"bert.pooler.dense.bias": None})
    with pytest.raises(DataError, match=r"bert\.pooler\.dense\.bias"):
        load_checkpoint(folder)
    edit_weights(folder, **{"bert.pooler.dense.bias": torch.zeros(24), "surplus": torch.zeros(1)})
    with pytest.raises(DataError, match="surplus"):
        load_checkpoint(folder)


def test_a_wrong_width_is_refused(folder: Path) -> None:
    edit_config(folder, intermediate_size=41)
    with pytest.raises(DataError, match=r"ffn\.up"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": ...}, "lacks hidden_size"),
        ({"num_hidden_layers": "two"}, "lacks num_hidden_layers"),
        ({"num_attention_heads": 5}, "do not divide"),
        ({"hidden_act": "softsign"}, "softsign"),
        ({"position_embedding_type": "relative_key"}, "absolute"),
        ({"is_decoder": True}, "decoder"),
        ({"use_task_id": True}, "task"),
        ({"problem_type": "regression"}, "regression"),
        ({"model_type": "t5"}, "t5"),
        ({"id2label": {"0": "a", "1": "b"}}, "labels"),
        ({"id2label": {"0": "a", "1": "b", "2": "a"}}, "labels"),
        ({"id2label": {"x": "a", "1": "b", "2": "c"}}, "labels"),
    ],
)
def test_configs_that_cannot_be_used_are_refused(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    edit_config(folder, **changes)
    with pytest.raises(DataError, match=message):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_an_absent_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError):
        load_checkpoint(folder)


def test_a_config_that_is_not_json_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        load_checkpoint(folder)


def test_labels_follow_their_index_and_not_their_place(folder: Path) -> None:
    edit_config(folder, id2label={"2": "z", "0": "x", "1": "y"})
    assert load_checkpoint(folder).labels == ("x", "y", "z")
    edit_config(folder, id2label=...)
    assert load_checkpoint(folder).labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_a_fit_keeps_a_head_for_the_same_labels(folder: Path) -> None:
    plain = load_checkpoint(folder)
    again = load_checkpoint(folder, classes=["abuse", "normal", "advert"])
    assert again.labels == LABELS
    np.testing.assert_array_equal(
        again.model.weights()["head.weight"], plain.model.weights()["head.weight"]
    )
    edit_config(folder, id2label=...)
    assert load_checkpoint(folder, classes=["a", "b", "c"]).labels == ("a", "b", "c")


def test_a_fit_replaces_a_head_for_other_labels(folder: Path) -> None:
    fresh = load_checkpoint(folder, classes=["a", "b", "c", "d"])
    assert fresh.labels == ("a", "b", "c", "d")
    assert fresh.architecture.classes == 4
    assert fresh.leftovers == ("head.weight", "head.bias")
    twin = load_checkpoint(folder, classes=["a", "b", "c", "d"])
    batch = fresh.tokenizer.encode(["w1 w2"]).batch
    np.testing.assert_array_equal(
        compute_logits(fresh.model, batch, pad_id=0), compute_logits(twin.model, batch, pad_id=0)
    )


def test_the_length_limit_stays_within_the_positions(folder: Path) -> None:
    assert load_checkpoint(folder).max_length == 34
    short = load_checkpoint(folder, max_length=10)
    assert short.tokenizer.encode(["w1 " * 50]).batch.lengths.tolist() == [10]
    for wrong in (2, 35):
        with pytest.raises(UserError, match="maximum length"):
            load_checkpoint(folder, max_length=wrong)


def test_a_shard_outside_the_directory_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    index = {"weight_map": {"classifier.bias": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="outside"):
        load_checkpoint(folder)


def test_a_roberta_whose_padding_disagrees_is_refused(tmp_path: Path) -> None:
    save_model(make_model("roberta"), tmp_path)
    edit_config(tmp_path, pad_token_id=2)
    with pytest.raises(DataError, match="padding token"):
        load_checkpoint(tmp_path)


def test_names_that_are_no_model_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(name: str, **options: object) -> str:
        raise LocalEntryNotFoundError(f"offline, {name}, {sorted(options)}")

    monkeypatch.setattr(module, "snapshot_download", refuse)
    file = tmp_path / "file"
    file.write_text("")
    for name in ("nobody/nothing", "./absent", "plain", str(file), str(tmp_path / "absent")):
        with pytest.raises(UserError, match="there is no model"):
            resolve_model(name)


def test_a_hub_name_is_fetched(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(module, "snapshot_download", lambda name, **options: str(folder))
    assert load_checkpoint("somebody/something").labels == LABELS
