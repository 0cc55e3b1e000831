import numpy as np
import pytest

from tests.support.tiny_shapes import make_shape
from thinfer.errors import DataError
from thinfer.nn.config import flatten_config, read_architecture, read_problem_type
from thinfer.nn.families import FAMILIES
from thinfer.nn.presets import draw_encoder

CONFIG = {
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 8,
    "use_task_id": True,
}


def test_the_old_nested_paddle_config_is_flattened() -> None:
    old = {
        "init_args": [{**CONFIG, "init_class": "ErnieModel"}],
        "num_classes": 2,
        "init_class": "ErnieForSequenceClassification",
    }
    flat = flatten_config(old)
    assert flat == {
        **CONFIG,
        "num_classes": 2,
        "architectures": ["ErnieForSequenceClassification"],
    }
    assert flatten_config(CONFIG) == CONFIG


def test_rows_come_from_the_weights() -> None:
    shape = make_shape((3, 8))
    weights = draw_encoder(shape, np.random.default_rng(0)).weights()
    assert read_architecture(CONFIG, FAMILIES["ernie"], weights, classes=3) == shape


def test_another_task_type_is_refused() -> None:
    weights = draw_encoder(make_shape((3, 8)), np.random.default_rng(0)).weights()
    with pytest.raises(DataError, match="task type"):
        read_architecture({**CONFIG, "task_id": 1}, FAMILIES["ernie"], weights, classes=3)


def test_problem_types() -> None:
    assert read_problem_type({}) == "single_label"
    assert read_problem_type({"problem_type": "multi_label_classification"}) == "multi_label"
