import dataclasses

import numpy as np
import pytest

from tests.support.toy_models import logits_of, toy_architecture, toy_batch, toy_state
from thinfer.architecture import Architecture, LayerShape
from thinfer.compress.student import begin_student
from thinfer.errors import UserError

RNG = np.random.default_rng


def smaller(hidden: int) -> Architecture:
    layer = LayerShape(heads=2, qk_size=4, value_size=4, ffn=16)
    return dataclasses.replace(toy_architecture(), hidden=hidden, layers=(layer,))


def test_layers_of_equal_widths_are_the_teachers_evenly_spaced() -> None:
    teacher = toy_state(toy_architecture(((4, 32),) * 5))
    shape = toy_architecture(((4, 32),) * 3)
    student, report = begin_student(teacher, shape, rng=RNG(0))
    for new, old in enumerate((0, 2, 4)):
        for name in ("attention.query.weight", "ffn.norm.bias"):
            np.testing.assert_array_equal(
                student.weights[f"layers.{new}.{name}"], teacher.weights[f"layers.{old}.{name}"]
            )
    np.testing.assert_array_equal(student.weights["head.weight"], teacher.weights["head.weight"])
    assert report.details["layers_taken"] == 3


def test_the_teachers_own_shape_gives_the_teacher() -> None:
    teacher, batch = toy_state(), toy_batch(5)
    student, _ = begin_student(teacher, teacher.architecture, rng=RNG(0))
    np.testing.assert_allclose(logits_of(student, batch), logits_of(teacher, batch), atol=1e-6)


def test_layers_of_other_widths_are_drawn_and_the_tables_stay() -> None:
    teacher = toy_state()
    student, report = begin_student(teacher, smaller(16), rng=RNG(0))
    assert report.details["layers_taken"] == 0
    word = "embeddings.word.weight"
    np.testing.assert_array_equal(student.weights[word], teacher.weights[word])
    assert student.weights["layers.0.ffn.up.weight"].std() == pytest.approx(0.02, rel=0.3)


def test_a_smaller_hidden_size_keeps_the_directions_in_which_words_differ() -> None:
    teacher = toy_state()
    rng, word = RNG(1), "embeddings.word.weight"
    flat = rng.normal(size=(teacher.architecture.vocab, 8)) @ rng.normal(size=(8, 16))
    teacher = dataclasses.replace(
        teacher, weights={**teacher.weights, word: flat.astype(np.float32)}
    )
    student, report = begin_student(teacher, smaller(8), rng=RNG(0))
    assert report.details["embedding_share"] == pytest.approx(1.0, abs=1e-6)
    small = student.weights[word].astype(np.float64)
    # Eight directions hold all of it: the words lie to each other as before.
    np.testing.assert_allclose(small @ small.T, flat @ flat.T, rtol=1e-3, atol=1e-2)
    assert student.weights["embeddings.position.weight"].shape == (24, 8)
    assert np.isfinite(logits_of(student, toy_batch(3)).numpy()).all()


def test_the_same_seed_gives_the_same_student() -> None:
    students = [begin_student(toy_state(), smaller(8), rng=RNG(3))[0] for _ in range(2)]
    for name, value in students[0].weights.items():
        np.testing.assert_array_equal(value, students[1].weights[name])


@pytest.mark.parametrize("change", [{"vocab": 5}, {"hidden": 32}, {"classes": 7}])
def test_a_shape_that_does_not_fit_is_refused(change: dict[str, int]) -> None:
    shape = dataclasses.replace(smaller(16), **change)  # type: ignore[arg-type]  # fields of the shape
    with pytest.raises(UserError, match="does not fit its teacher"):
        begin_student(toy_state(), shape, rng=RNG(0))
