import numpy as np
import pytest

from tests.support.tiny_shapes import make_shape
from thinfer.errors import DataError
from thinfer.nn.families import FAMILIES, find_family, list_parameters
from thinfer.nn.presets import draw_encoder
from thinfer.nn.weights import add_fresh_head, to_canonical, to_foreign


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_tables_lead_there_and_back(name: str) -> None:
    weights = draw_encoder(make_shape((3, 8), (3, 8)), np.random.default_rng(0)).weights()
    family = FAMILIES[name]
    foreign = to_foreign(family, weights)
    assert len(foreign) == len(weights)
    again, leftovers = to_canonical(family, foreign, layers=2, for_fit=False)
    assert leftovers == ()
    assert set(again) == set(weights)
    for key, value in weights.items():
        np.testing.assert_array_equal(again[key], value)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_missing_weight_is_named(name: str) -> None:
    weights = draw_encoder(make_shape((3, 8)), np.random.default_rng(0)).weights()
    family = FAMILIES[name]
    foreign = to_foreign(family, weights)
    for key in foreign:
        if "task_type" in key or "token_type" in key:
            continue  # absent tables mean a model without them
        rest = {other: value for other, value in foreign.items() if other != key}
        with pytest.raises(DataError) as caught:
            to_canonical(family, rest, layers=1, for_fit=False)
        assert key in str(caught.value)


def test_left_over_weights_are_refused_by_name() -> None:
    weights = draw_encoder(make_shape((3, 8), (3, 8)), np.random.default_rng(0)).weights()
    foreign = to_foreign(FAMILIES["bert"], weights)
    with pytest.raises(DataError, match=r"encoder\.layer\.1\."):
        to_canonical(FAMILIES["bert"], foreign, layers=1, for_fit=False)
    foreign["adapter.weight"] = np.zeros(2, dtype=np.float32)
    with pytest.raises(DataError, match=r"adapter\.weight"):
        to_canonical(FAMILIES["bert"], foreign, layers=2, for_fit=True)


def test_only_harmless_leftovers_are_accepted() -> None:
    weights = draw_encoder(make_shape((3, 8)), np.random.default_rng(0)).weights()
    foreign = to_foreign(FAMILIES["roberta"], weights)
    foreign["roberta.embeddings.position_ids"] = np.zeros((1, 4), dtype=np.float32)
    _, leftovers = to_canonical(FAMILIES["roberta"], foreign, layers=1, for_fit=False)
    assert leftovers == ("roberta.embeddings.position_ids",)
    foreign["lm_head.bias"] = np.zeros(4, dtype=np.float32)
    with pytest.raises(DataError, match=r"lm_head\.bias"):
        to_canonical(FAMILIES["roberta"], foreign, layers=1, for_fit=False)
    _, leftovers = to_canonical(FAMILIES["roberta"], foreign, layers=1, for_fit=True)
    assert "lm_head.bias" in leftovers


def test_pruned_weights_have_no_foreign_form() -> None:
    weights = draw_encoder(make_shape((3, 8), (0, 8)), np.random.default_rng(0)).weights()
    with pytest.raises(DataError, match="names of bert"):
        to_foreign(FAMILIES["bert"], weights)


def test_a_fresh_head_fills_only_what_is_absent() -> None:
    shape = make_shape((3, 8))
    weights = draw_encoder(shape, np.random.default_rng(0)).weights()
    del weights["head.weight"]
    pooler = weights["pooler.weight"].copy()
    add_fresh_head(weights, shape, np.random.default_rng(1))
    assert weights["head.weight"].shape == (3, 12)
    np.testing.assert_array_equal(weights["pooler.weight"], pooler)


def test_type_tables_are_optional_in_the_list() -> None:
    names = list_parameters(FAMILIES["bert"], 1, has_task=False, has_type=False)
    assert "embeddings.type.weight" not in names
    assert names["head.bias"] == "classifier.bias"


def test_families_are_found_or_refused() -> None:
    assert find_family({"model_type": "xlm-roberta"}, is_paddle=False).name == "xlm-roberta"
    assert find_family({"model_type": "ernie"}, is_paddle=True).name == "ernie-paddle"
    named = {"architectures": ["BertForSequenceClassification"]}
    assert find_family(named, is_paddle=False).name == "bert"
    for config, is_paddle in (({"model_type": "gpt2"}, False), ({"model_type": "bert"}, True)):
        with pytest.raises(DataError, match="cannot be read"):
            find_family(config, is_paddle=is_paddle)
