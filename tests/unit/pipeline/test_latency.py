"""The latency table: a sum over blocks, its file, and what it refuses."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.toy_models import toy_architecture, toy_batch, toy_state
from thinfer.compress.prune import PruneSettings, build_ladders
from thinfer.errors import DataError, UserError
from thinfer.pipeline.latency import BlockTimes, LatencyTable, load_table, save_table

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
