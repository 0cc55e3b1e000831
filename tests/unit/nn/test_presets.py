import numpy as np
import pytest

from tests.support.bert_vocab import small_tokenizer
from thinfer.architecture import Architecture, LayerShape, count_cost
from thinfer.errors import UserError
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.presets import PRESETS, build_preset, draw_encoder


def test_sizes_are_the_published_ones() -> None:
    widths = {name.removeprefix("ernie-3.0-"): size for name, size in PRESETS.items()}
    shown = {name: (s.layers, s.hidden, s.heads, s.ffn) for name, s in widths.items()}
    assert shown == {
        "base": (12, 768, 12, 3072),
        "medium": (6, 768, 12, 3072),
        "mini": (6, 384, 12, 1536),
        "micro": (4, 384, 12, 1536),
        "nano": (4, 312, 12, 1248),
    }
    base = PRESETS["ernie-3.0-base"].architecture(vocab=40_000, positions=2048, classes=2)
    assert 117e6 < count_cost(base, length=32).parameters < 119e6


def draw_nano() -> Checkpoint:
    return build_preset(
        "ernie-3.0-nano",
        tokenizer=small_tokenizer(16),
        labels=["a", "b"],
        max_length=12,
        seed=5,
        positions=20,
    )


def test_a_preset_is_drawn_as_bert_is() -> None:
    tokenizer = small_tokenizer(16)
    built = build_preset(
        "ernie-3.0-nano",
        tokenizer=tokenizer,
        labels=["a", "b"],
        max_length=12,
        seed=5,
        positions=20,
    )
    shape = built.architecture
    assert (shape.vocab, shape.positions) == (tokenizer.vocab_size, 20)
    assert (shape.type_rows, shape.task_rows, shape.classes) == (4, 3, 2)
    assert built.tokenizer.max_length == built.max_length == 12
    weights = built.model.weights()
    assert float(weights["layers.2.ffn.up.weight"].std()) == pytest.approx(0.02, rel=0.02)
    assert not weights["layers.2.ffn.up.bias"].any()
    assert (weights["layers.2.ffn.norm.weight"] == 1).all()
    twin = build_preset(
        "ernie-3.0-nano",
        tokenizer=tokenizer,
        labels=["a", "b"],
        max_length=12,
        seed=5,
        positions=20,
    )
    for name, value in twin.model.weights().items():
        np.testing.assert_array_equal(weights[name], value)


def test_what_does_not_fit_is_refused() -> None:
    tokenizer = small_tokenizer(16)
    with pytest.raises(UserError, match="no preset 'ernie-9'"):
        build_preset("ernie-9", tokenizer=tokenizer, labels=["a", "b"], max_length=12, seed=0)
    for length in (2, 2049):
        with pytest.raises(UserError, match="maximum length"):
            build_preset(
                "ernie-3.0-nano", tokenizer=tokenizer, labels=["a"], max_length=length, seed=0
            )


@pytest.mark.parametrize(("layers", "part"), [(6, 1.0), (12, 24**-0.5)])
def test_what_a_block_adds_starts_smaller_in_a_deep_encoder(layers: int, part: float) -> None:
    layer = LayerShape(heads=2, qk_size=32, value_size=32, ffn=128)
    shape = Architecture(
        hidden=64, layers=(layer,) * layers, vocab=50, positions=16, type_rows=2, classes=3
    )
    weights = draw_encoder(shape, np.random.default_rng(0)).weights()
    for name, value in weights.items():
        if value.ndim != 2 or not name.startswith("layers"):
            continue
        adds = name.endswith(("attention.output.weight", "ffn.down.weight"))
        assert value.std() == pytest.approx(0.02 * (part if adds else 1.0), rel=0.1), name
