"""What a run's students learn from."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.support.toy_job import toy_job
from tests.support.toy_models import trained_state
from thinfer.architecture import PruningMask
from thinfer.compress.state import State
from thinfer.compress.surgery import cut
from thinfer.pipeline.retrain import plan_schooling, retrain


def student() -> State:
    state = trained_state()
    keep = PruningMask.keep_all(state.architecture)
    few = tuple(np.arange(64) < 8 for _ in range(2))
    return cut(state, dataclasses.replace(keep, neurons=few))


def test_none_leaves_the_state(tmp_path: Path) -> None:
    small = student()
    assert retrain(toy_job(tmp_path), small, trained_state()) is small


@pytest.mark.parametrize(
    ("unlabelled", "augment", "more", "augmented"),
    [(0, 0, None, 0), (7, 0, 7, 0), (0, 2, 600, 600), (7, 1, 307, 300)],
)
def test_unlabelled_text_and_altered_copies_take_part(
    tmp_path: Path, unlabelled: int, augment: int, more: int | None, augmented: int
) -> None:
    job = toy_job(tmp_path, unlabelled=unlabelled, retrain="short", augment=augment)
    school = plan_schooling(job, trained_state())
    assert (None if school.more is None else len(school.more)) == more
    assert school.augmented == augmented


def test_the_seed_decides_what_is_altered(tmp_path: Path) -> None:
    def altered(seed: int) -> list[int]:
        job = toy_job(tmp_path, retrain="short", augment=1, seed=seed)
        more = plan_schooling(job, trained_state()).more
        assert more is not None
        return [int(token) for token in more.ids]

    assert altered(1) == altered(1)
    assert altered(1) != altered(2)


def test_halfway_is_shorter_and_full_is_longer(tmp_path: Path) -> None:
    teacher = trained_state()

    def epochs(retrain: str, *, is_halfway: bool = False) -> int:
        job = toy_job(tmp_path, retrain=retrain)
        return plan_schooling(job, teacher, is_halfway=is_halfway).settings.train.epochs

    assert epochs("full", is_halfway=True) <= epochs("short") < epochs("full")


def test_the_last_report_says_what_was_learned_from(tmp_path: Path) -> None:
    job = toy_job(tmp_path, retrain="short", augment=1, unlabelled=5)
    small = student()
    trained = retrain(job, small, trained_state())
    assert trained.history[:-1] == small.history
    report = trained.history[-1]
    assert report.step == "distill"
    assert (report.details["rows"], report.details["unlabelled_rows"]) == (605, 305)
    assert report.details["augmented_rows"] == 300
