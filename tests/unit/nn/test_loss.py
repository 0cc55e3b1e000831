"""Losses against their definitions: binary cross entropy, and divergences of sigmoids."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.support.tiny_shapes import draw_batch, make_shape
from thinfer.nn.loss import (
    LossFn,
    log_scores,
    make_class_loss,
    make_teacher_loss,
    measure_accuracy,
    measure_score,
    split_members,
)
from thinfer.nn.predict import pad_inputs
from thinfer.nn.presets import draw_encoder

BATCH = draw_batch([3, 6, 4, 5])
MODEL = draw_encoder(make_shape((2, 16), classes=3), np.random.default_rng(0)).eval()
CODES = np.array([0, 5, 7, 2], dtype=np.int64)
MEMBERS = torch.tensor([[0, 0, 0], [1, 0, 1], [1, 1, 1], [0, 1, 0]]).float()
ROWS = np.arange(4, dtype=np.int64)
INPUTS = pad_inputs(BATCH, 0)


def value(loss_fn: LossFn) -> float:
    with torch.no_grad():
        return float(loss_fn(MODEL, INPUTS, ROWS))


def own_logits() -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = MODEL(*INPUTS)
    return logits


def bernoulli_kl(p: float, q: float) -> float:
    return float(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def test_bits_become_targets() -> None:
    assert torch.equal(split_members(torch.from_numpy(CODES), 3), MEMBERS)
    most = torch.tensor([(1 << 62) - 1])
    assert bool(split_members(most, 62).all())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_class_loss_of_sets_is_binary_cross_entropy(smoothing: float) -> None:
    found = value(make_class_loss(CODES, label_smoothing=smoothing, is_multi_label=True))
    goal = MEMBERS * (1 - smoothing) + smoothing / 2
    wanted = functional.binary_cross_entropy_with_logits(own_logits(), goal)
    assert found == pytest.approx(float(wanted), rel=1e-5)


def test_the_divergence_of_scores_is_the_sum_of_the_labels() -> None:
    rng = np.random.default_rng(3)
    one, other = (torch.from_numpy(rng.normal(0, 2, (5, 4))) for _ in range(2))
    goal, own = (log_scores(each, is_multi_label=True) for each in (one, other))
    assert goal.shape == (5, 8)
    found = (goal.exp() * (goal - own)).sum(1)
    p, q = one.sigmoid().numpy(), other.sigmoid().numpy()
    wanted = [sum(bernoulli_kl(p[row, at], q[row, at]) for at in range(4)) for row in range(len(p))]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    assert (found > 0).all()
    assert float((goal.exp() * (goal - goal)).sum()) == 0.0
    extreme = log_scores(torch.tensor([[200.0, -200.0]]), is_multi_label=True)
    assert torch.isfinite(extreme).all()


def test_the_scores_of_one_label_are_the_log_softmax() -> None:
    logits = own_logits()
    assert torch.equal(log_scores(logits, is_multi_label=False), logits.log_softmax(1))


@pytest.mark.parametrize("several", [False, True])
def test_a_student_that_answers_as_its_teacher_has_no_distance(several: bool) -> None:
    taught = own_logits().numpy()
    targets = CODES if several else CODES % 3
    same = make_teacher_loss(targets, taught, alpha=1.0, is_multi_label=several)
    assert value(same) == pytest.approx(0.0, abs=1e-6)
    moved = taught + np.asarray([1, 0, 0], dtype=np.float32)
    apart = make_teacher_loss(targets, moved, alpha=1.0, is_multi_label=several)
    assert value(apart) > 1e-3


def test_the_teachers_part_is_the_mean_over_labels_of_their_divergence() -> None:
    taught = np.random.default_rng(1).normal(0, 2, (4, 3)).astype(np.float32)
    loss = make_teacher_loss(CODES, taught, temperature=2.0, alpha=0.7, is_multi_label=True)
    p = torch.from_numpy(taught / 2).sigmoid().double().numpy()
    q = (own_logits() / 2).sigmoid().double().numpy()
    distance = np.mean([bernoulli_kl(a, b) for a, b in zip(p.flat, q.flat, strict=True)])
    labels = functional.binary_cross_entropy_with_logits(own_logits(), MEMBERS)
    assert value(loss) == pytest.approx(0.7 * 4 * distance + 0.3 * float(labels), rel=1e-4)


def test_sets_are_right_as_a_whole_and_scored_by_label() -> None:
    logits = np.array([[1, -1, 1], [1, -1, -1]], dtype=np.float32)
    targets = np.array([5, 3], dtype=np.int64)
    assert measure_accuracy(logits, targets, is_multi_label=True) == 0.5
    assert measure_score(logits, targets, is_multi_label=True) == pytest.approx(6 / 7)
    assert measure_score(logits, np.array([0, 1])) == measure_accuracy(logits, np.array([0, 1]))
