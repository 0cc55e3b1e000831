from fractions import Fraction

import numpy as np
import pytest

from thinfer.pipeline.space import Configuration, Space, draw_configurations

SPACE = Space(layers=6, lengths=(64, 32))


def draw(count: int, seed: int = 0, **more: object) -> tuple[Configuration, ...]:
    return draw_configurations(SPACE, count, rng=np.random.default_rng(seed), **more)  # type: ignore[arg-type]  # fields of the space


def test_the_same_seed_draws_the_same_and_none_twice() -> None:
    first = draw(40)
    assert first == draw(40)
    assert first != draw(40, seed=1)
    assert len(set(first)) == len({each.name for each in first}) == 40


def test_plain_widths_and_plain_layer_drops_come_first() -> None:
    names = [each.name for each in draw(8)]
    assert names[0] == "width-3-4"
    assert names[5:] == ["drop-1", "drop-2", "drop-3"]


def test_every_dimension_is_drawn_and_the_dense_model_never() -> None:
    found = draw(200)
    assert Configuration() not in found
    assert {each.drop_layers for each in found} == {0, 1, 2, 3}
    assert {each.min_count for each in found} == {1, 2, 5}
    assert {each.max_length for each in found} == {None, 64, 32}
    assert min(each.width for each in found) == Fraction(1, 8)


def test_what_is_known_is_not_drawn_again_until_nothing_is_left() -> None:
    known: set[Configuration] = set()
    small = Space(layers=2, min_counts=(1,))
    while drawn := draw_configurations(
        small, 7, rng=np.random.default_rng(len(known)), known=known
    ):
        assert not known & set(drawn)
        known |= set(drawn)
    assert 12 <= len(known) <= 23  # 2 depths × 12 widths, the dense model left out


@pytest.mark.parametrize(
    ("configuration", "name"),
    [
        (Configuration(), "dense"),
        (Configuration(width=Fraction(1, 2)), "width-1-2"),
        (
            Configuration(drop_layers=2, width=Fraction(3, 4), min_count=5, max_length=64),
            "drop-2-width-3-4-seen-5-length-64",
        ),
    ],
)
def test_names_say_what_is_inside(configuration: Configuration, name: str) -> None:
    assert configuration.name == name
