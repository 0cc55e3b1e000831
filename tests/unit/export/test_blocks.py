"""Which blocks INT8 rounds, by what names."""

import pytest

from tests.support.export_models import SHAPES
from thinfer.errors import UserError
from thinfer.export.blocks import block_of, check_kept, list_blocks_to_round


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [
        ("no layers", ["embeddings", "pooler"]),
        (
            "no heads in a layer",
            ["embeddings", "layers.0.attention", "layers.0.ffn", "layers.1.ffn", "pooler"],
        ),
        ("nothing in a layer", ["embeddings", "layers.1.attention", "layers.1.ffn", "pooler"]),
    ],
)
def test_blocks_with_something_to_round_are_listed(shape: str, blocks: list[str]) -> None:
    assert list_blocks_to_round(SHAPES[shape]) == tuple(blocks)
    check_kept(blocks, SHAPES[shape])
    check_kept((), SHAPES[shape])


def test_every_product_belongs_to_a_block() -> None:
    names = ["layers.3.attention.input", "layers.3.attention.joined", "layers.3.ffn.up", "pooler"]
    assert [block_of(name) for name in names] == [
        *["layers.3.attention"] * 2,
        "layers.3.ffn",
        "pooler",
    ]


@pytest.mark.parametrize("name", ["head", "layers.0.attention", "layers.9.ffn", ""])
def test_a_block_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"not in the model.*embeddings, layers\.0\.ffn"):
        check_kept([name, "pooler"], SHAPES["no attention at all"])
