"""A warning where `dev` is too small for what a floor allows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from tests.support.toy_job import toy_job
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.coarse import warn_about_coarse_dev
from thinfer.pipeline.job import Job
from thinfer.quality.floor import parse_floor


@dataclasses.dataclass(frozen=True)
class Answered:
    """All that is asked of a candidate: where its answers on dev lie."""

    folder: Path


def warned(job: Job, folder: Path, *, expr: str, lost: int, gained: int) -> list[str]:
    """Let the original be right on 80 of 100 rows, and the candidate lose and gain some."""
    truth = job.sets.dev.truth
    wrong = (truth + 1) % len(job.labels)
    original = np.where(np.arange(100) < 80, truth, wrong)
    answers = original.copy()
    answers[:lost] = wrong[:lost]
    answers[80 : 80 + gained] = truth[80 : 80 + gained]
    np.save(folder / "dev.npy", np.eye(len(job.labels), dtype=np.float32)[answers])
    job = dataclasses.replace(
        job, floors=(parse_floor(expr, job.labels),), original_dev=original.astype(np.int64)
    )
    return warn_about_coarse_dev(job, cast("Candidate", Answered(folder)))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return toy_job(tmp_path)


def test_a_dev_set_coarser_than_the_floor_is_named_with_the_rows_that_would_do(
    job: Job, tmp_path: Path
) -> None:
    (warning,) = warned(job, tmp_path, expr="accuracy>=99.5%", lost=4, gained=4)
    error = np.sqrt(8) / 80
    assert f"known to ±{error:.2%}" in warning
    assert "on its 100 rows" in warning
    assert "the floor allows 0.50%" in warning
    assert f"about {int(np.ceil(100 * (error / 0.005) ** 2)):,} rows" in warning


@pytest.mark.parametrize(
    ("expr", "lost", "gained"),
    [("accuracy>=99.5%", 0, 0), ("accuracy>=90%", 4, 4), ("accuracy>=0.7", 4, 4)],
)
def test_nothing_is_said_where_dev_tells_enough(
    job: Job, tmp_path: Path, expr: str, lost: int, gained: int
) -> None:
    assert warned(job, tmp_path, expr=expr, lost=lost, gained=gained) == []


def test_a_candidate_without_stored_answers_is_left_alone(job: Job, tmp_path: Path) -> None:
    floors = (parse_floor("accuracy>=99.5%", job.labels),)
    bare = cast("Candidate", Answered(tmp_path / "empty"))
    assert warn_about_coarse_dev(dataclasses.replace(job, floors=floors), bare) == []
