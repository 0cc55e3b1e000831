"""The latency table: a sum over blocks, its file, and what it refuses."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.toy_models import (
    toy_architecture,
    toy_batch,
    toy_state,
    wide_architecture,
)
from thinfer.architecture import Architecture, LayerShape
from thinfer.compress.prune import PruneSettings, build_ladders
from thinfer.errors import DataError, UserError
from thinfer.pipeline.latency import BlockTimes, LatencyTable, SizeTimes, load_table, save_table

TIMES = BlockTimes(
    base=1.0,
    layer=0.5,
    heads=(0.0, 1.0, 4.0),
    neurons=(0.0, 8.0),
    last_heads=(0.0, 0.5, 2.0),
    last_neurons=(0.0, 0.25),
)
TABLE = LatencyTable(
    engine="onnxruntime",
    precision="int8",
    threads=2,
    hidden=16,
    head_size=4,
    head_widths=(0, 1, 4),
    neuron_widths=(0, 32),
    lengths={"batch": (3, 4)},
    workloads={"batch": TIMES, "typical": TIMES},
)


def test_a_prediction_is_the_sum_of_its_blocks() -> None:
    dense = toy_architecture(((4, 32), (4, 32), (4, 32)))
    assert TABLE.predict(dense, "batch") == pytest.approx(1.0 + 2 * 0.5 + 2 * 12.0 + 2.25)
    narrow = toy_architecture(((1, 0), (0, 16), (1, 32)))
    assert TABLE.predict(narrow, "batch") == pytest.approx(1.0 + 1.0 + 1.0 + 4.0 + 0.75)
    assert TABLE.predict(toy_architecture(((0, 0),)), "batch") == 1.0


def test_a_model_that_is_shared_among_threads_has_prices_of_its_own() -> None:
    dense = toy_architecture(((4, 32), (4, 32)))  # 16 · 2 · (4 · (4 + 4) + 32) a token and layer
    half = dataclasses.replace(TIMES, base=0.5, layer=0.25)
    work = 7 * 2 * 16 * 2 * 64
    for shared_from, saved in ((work, 0.75), (work + 1, 0.0)):
        table = dataclasses.replace(
            TABLE, lengths={"typical": (7,)}, shared={"typical": half}, shared_from=shared_from
        )
        found = table.predict(dense, "typical")
        assert found == pytest.approx(TABLE.predict(dense, "typical") - saved)
        assert table.predict(dense, "batch") == TABLE.predict(dense, "batch")


def test_prices_and_predictions_agree() -> None:
    state = toy_state(toy_architecture(((4, 32), (4, 32))))
    ladders = build_ladders(
        state,
        toy_batch(30),
        rng=np.random.default_rng(0),
        settings=PruneSettings(neuron_step=8),
    )
    costs = TABLE.costs(ladders, "batch")
    whole = sum(float(each[-1]) for each in (*costs.heads, *costs.neurons))
    assert whole == pytest.approx(TABLE.predict(state.architecture, "batch") - 1.0 - 0.5)
    assert all(float(each[0]) == 0.0 for each in (*costs.heads, *costs.neurons))
    assert costs.heads[0][2] == pytest.approx(2.0)  # between one head and four


def test_a_table_comes_back_from_its_file(tmp_path: Path) -> None:
    save_table(TABLE, tmp_path / "table.json")
    assert load_table(tmp_path / "table.json") == TABLE


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "thinfer.latency-table", "version": 9}'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(DataError):
        load_table(tmp_path / "table.json")


def test_a_table_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    save_table(TABLE, tmp_path / "table.json")
    body = json.loads((tmp_path / "table.json").read_text())
    (tmp_path / "table.json").write_text(json.dumps({**body, "more": 1}))
    with pytest.raises(DataError):
        load_table(tmp_path / "table.json")


def test_a_table_of_another_model_is_refused() -> None:
    dense = toy_architecture(((4, 32), (4, 32)))
    TABLE.check_fits(dense, threads=2)
    with pytest.raises(UserError, match="another model") as caught:
        TABLE.check_fits(dataclasses.replace(dense, hidden=32), threads=2)
    assert "hidden 32" in str(caught.value)
    with pytest.raises(UserError, match="number of threads"):
        TABLE.check_fits(dense, threads=1)
    with pytest.raises(UserError):
        TABLE.check_fits(toy_architecture(((4, 32), (3, 32))), threads=2)


def test_models_of_other_sizes_are_not_covered() -> None:
    dense = toy_architecture(((4, 32), (1, 0)))
    assert TABLE.covers(dense)
    assert not TABLE.covers(dataclasses.replace(dense, hidden=8))
    assert not TABLE.covers(toy_architecture(((5, 32),)))
    assert not TABLE.covers(toy_architecture(((4, 33),)))
    heads = dataclasses.replace(dense.layers[0], value_size=8, qk_size=8)
    assert not TABLE.covers(dataclasses.replace(dense, layers=(heads,)))


SIZED = dataclasses.replace(
    TABLE,
    head_size=16,
    head_widths=(0, 2),
    head_sizes=(4, 8),
    sized_widths=(0, 1, 2),
    workloads={
        "batch": dataclasses.replace(
            TIMES,
            heads=(0.0, 4.0),
            last_heads=(0.0, 2.0),
            sized=(
                SizeTimes(
                    qk=(0.0, 1.0, 2.5),
                    values=(0.0, 1.0, 2.0),
                    last_qk=(0.0, 0.5, 1.0),
                    last_values=(0.0, 0.5, 1.0),
                ),
                SizeTimes(  # by noise dearer than the whole: saves nothing
                    qk=(0.0, 3.0, 5.0),
                    values=(0.0, 1.5, 3.0),
                    last_qk=(0.0, 1.0, 2.0),
                    last_values=(0.0, 0.75, 1.5),
                ),
            ),
        )
    },
)


def sized_model(*layers: tuple[int, int, int]) -> Architecture:
    """Layers of (heads, query-key size, value size), without FFN."""
    shape = toy_architecture()
    return dataclasses.replace(
        shape,
        layers=tuple(LayerShape(heads=h, qk_size=q, value_size=v, ffn=0) for h, q, v in layers),
    )


@pytest.mark.parametrize(
    ("layer", "price"),
    [
        ((2, 16, 16), 4.0),
        ((1, 16, 16), 2.0),
        ((2, 4, 16), 2.5),
        ((1, 4, 16), 1.0),
        ((2, 8, 16), 4.0),
        ((2, 16, 8), 3.0),
        ((2, 4, 8), 1.5),
        ((2, 4, 4), 0.5),
        ((2, 16, 12), 3.5),  # between two sizes
        ((0, 4, 4), 0.0),
    ],
)
def test_smaller_heads_save_what_was_measured(layer: tuple[int, int, int], price: float) -> None:
    model = sized_model(layer, (0, 16, 16))
    assert SIZED.predict(model, "batch") == pytest.approx(1.0 + 0.5 + price)


def test_the_last_layer_has_its_own_savings() -> None:
    assert SIZED.predict(sized_model((2, 4, 4)), "batch") == pytest.approx(1.0 + 0.0)
    assert SIZED.predict(sized_model((2, 16, 8)), "batch") == pytest.approx(1.0 + 1.5)


def test_prices_of_smaller_heads_agree_with_predictions() -> None:
    state = toy_state(wide_architecture(1))
    ladders = build_ladders(
        state,
        toy_batch(40),
        rng=np.random.default_rng(0),
        settings=PruneSettings(resize_heads=True),
    )
    costs = SIZED.costs(ladders, "batch")
    for option, price in zip(ladders.sized[0].options, costs.sized[0].tolist(), strict=True):
        model = sized_model((option.heads, option.qk_size, option.value_size))
        assert price == pytest.approx(SIZED.predict(model, "batch") - 1.0)
    plain = dataclasses.replace(TABLE, head_size=16, head_widths=(0, 1, 2))
    with pytest.raises(UserError, match="heads so small"):
        plain.costs(ladders, "batch")
    assert plain.costs(dataclasses.replace(ladders, sized=()), "batch").sized == ()


def test_sizes_below_what_was_measured_are_refused() -> None:
    SIZED.check_sizes((4, 8))
    SIZED.check_sizes(())
    TABLE.check_sizes(())
    for table, sizes in ((SIZED, (2,)), (TABLE, (2,))):
        with pytest.raises(UserError, match="heads so small"):
            table.check_sizes(sizes)


def test_a_table_with_sizes_comes_back_and_an_older_one_is_read(tmp_path: Path) -> None:
    save_table(SIZED, tmp_path / "table.json")
    assert load_table(tmp_path / "table.json") == SIZED
    save_table(TABLE, tmp_path / "old.json")
    body = json.loads((tmp_path / "old.json").read_text())
    del body["head_sizes"], body["sized_widths"]
    for times in body["workloads"].values():
        del times["sized"]
    (tmp_path / "old.json").write_text(json.dumps(body))
    assert load_table(tmp_path / "old.json") == TABLE
