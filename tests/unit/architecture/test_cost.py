from __future__ import annotations

from thinfer.architecture import Architecture, LayerShape, count_cost


def make_shape(*layers: LayerShape, task_rows: int = 0) -> Architecture:
    return Architecture(
        hidden=8, layers=layers, vocab=30, positions=16, task_rows=task_rows, classes=3
    )


def test_parameters_of_one_layer_by_hand() -> None:
    layer = LayerShape(heads=2, qk_size=3, value_size=5, ffn=7)
    empty, full = count_cost(make_shape(), length=4), count_cost(make_shape(layer), length=4)
    query_key = 2 * (6 * 8 + 6)
    value_output = (10 * 8 + 10) + (8 * 10 + 8)
    ffn = (7 * 8 + 7) + (8 * 7 + 8)
    norms = 4 * 8
    assert full.parameters - empty.parameters == query_key + value_output + ffn + norms
    keys_values, of_first_token = 4 * 8 * (6 + 10), 8 * (6 + 10 + 14)
    assert full.macs - empty.macs == keys_values + of_first_token + 4 * (6 + 10)
    assert full.embedding_parameters == empty.embedding_parameters == (30 + 16 + 2) * 8 + 16
    assert empty.parameters == empty.embedding_parameters + (64 + 8) + (24 + 3)


def test_every_layer_but_the_last_counts_every_token() -> None:
    layer = LayerShape(heads=2, qk_size=3, value_size=5, ffn=7)
    one, two = (count_cost(make_shape(*[layer] * n), length=4).macs for n in (1, 2))
    assert two - one == 4 * 8 * (12 + 20 + 14) + 4 * 4 * (6 + 10)


def test_dropped_blocks_keep_their_output_bias_and_norm() -> None:
    dropped = LayerShape(heads=0, qk_size=4, value_size=4, ffn=0)
    empty, full = count_cost(make_shape(), length=4), count_cost(make_shape(dropped), length=4)
    assert full.parameters - empty.parameters == 8 + 8 + 4 * 8
    assert full.macs == empty.macs


def test_task_rows_and_length_count() -> None:
    layer = LayerShape(heads=2, qk_size=4, value_size=4, ffn=16)
    plain, task = make_shape(layer), make_shape(layer, task_rows=3)
    assert count_cost(task, length=4).parameters - count_cost(plain, length=4).parameters == 24
    deep = make_shape(layer, layer)
    assert count_cost(deep, length=8).macs > 2 * count_cost(deep, length=4).macs - 1500
