import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.bert_vocab import VOCABULARY, small_tokenizer
from tests.support.tiny_shapes import make_shape
from thinfer.errors import DataError
from thinfer.nn import Checkpoint, load_checkpoint, save_checkpoint
from thinfer.nn.presets import draw_encoder


def make_checkpoint(*layers: tuple[int, int], **config: str) -> Checkpoint:
    shape = dataclasses.replace(make_shape(*layers), vocab=len(VOCABULARY) + 2)
    return Checkpoint(
        model=draw_encoder(shape, np.random.default_rng(0)),
        tokenizer=small_tokenizer(16),
        labels=("坏", "好", "a b"),
        architecture=shape,
        family="ernie",
        max_length=9,
        config=config,
    )


def test_it_reads_back_equal(tmp_path: Path) -> None:
    checkpoint = make_checkpoint((3, 8), (3, 8), problem_type="multi_label_classification")
    save_checkpoint(checkpoint, tmp_path / "out")
    again = load_checkpoint(tmp_path / "out")
    assert again.architecture == checkpoint.architecture
    assert again.labels == checkpoint.labels
    assert again.max_length == 9
    assert again.problem_type == "multi_label"
    for name, value in checkpoint.model.weights().items():
        np.testing.assert_array_equal(again.model.weights()[name], value)
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config["label2id"] == {"坏": 0, "好": 1, "a b": 2}


def test_the_same_checkpoint_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_checkpoint(make_checkpoint((3, 8)), tmp_path / name)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


@pytest.mark.parametrize(
    "layers", [((3, 8), (2, 8)), ((3, 8), (3, 4)), ((2, 8), (2, 8)), ((3, 0),), ((0, 8),), ()]
)
def test_uneven_widths_are_refused_and_nothing_is_left(
    layers: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="cannot be written as a Hugging Face directory"):
        save_checkpoint(make_checkpoint(*layers), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
