"""The best of several must clear a floor by more than one that was tried alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.support.toy_job import toy_job
from thinfer.pipeline.candidate import Candidate, Form
from thinfer.pipeline.job import Job
from thinfer.pipeline.luck import margin_of, refuse_lucky
from thinfer.quality.floor import parse_floor


def test_the_margin_is_one_standard_error_alone_and_grows_with_the_number_tried() -> None:
    assert margin_of(0) == margin_of(1) == pytest.approx(1.0)
    assert [round(margin_of(states), 2) for states in (2, 6, 30)] == [1.41, 1.94, 2.56]


def test_draws_at_the_floor_pass_together_no_more_often_than_one_alone() -> None:
    """Of k independent states exactly at the floor, any clears the margin of k in at most 16 %."""
    rng = np.random.default_rng(0)
    for states in (1, 2, 6, 20):
        best = rng.standard_normal((40_000, states)).max(axis=1)
        assert float((best > margin_of(states)).mean()) < 0.163


@dataclasses.dataclass
class Tried:
    """What the rule looks at of a candidate."""

    form: Form
    folder: Path
    facts: dict[str, Any]


def try_states(job: Job, root: Path, *, gained: int, names: tuple[str, ...]) -> list[Tried]:
    """Let every state lose nothing and gain some of the 20 rows that the original got wrong."""
    truth = job.sets.dev.truth
    wrong = (truth + 1) % len(job.labels)
    answers = np.where(np.arange(100) < 80 + gained, truth, wrong)
    tried = []
    for name in names:
        folder = root / name
        folder.mkdir()
        np.save(folder / "dev.npy", np.eye(len(job.labels), dtype=np.float32)[answers])
        form = Form(state=name, engine="onnxruntime", precision="int8")
        tried.append(Tried(form, folder, {"refused": None}))
    return tried


@pytest.fixture
def job(tmp_path: Path) -> Job:
    job = toy_job(tmp_path)
    truth = job.sets.dev.truth
    original = np.where(np.arange(100) < 80, truth, (truth + 1) % len(job.labels))
    return dataclasses.replace(
        job, floors=(parse_floor("accuracy>=101%", job.labels),), original_dev=original
    )


@pytest.mark.parametrize(
    ("names", "is_refused"),
    [
        (("width-1-2",), False),
        (("width-1-2", "width-1-2-quantaware"), False),  # one state, learned anew
        (("a", "b", "c", "d", "e", "f"), True),
    ],
)
def test_a_state_that_was_tried_alone_needs_less(
    job: Job, tmp_path: Path, names: tuple[str, ...], is_refused: bool
) -> None:
    # 3 rows of 80 gained: 2.75 points above the floor, with a standard error of 2.17.
    tried = try_states(job, tmp_path, gained=3, names=names)
    refuse_lucky(job, cast("list[Candidate]", tried))
    said = {item.facts["refused"] for item in tried}
    if is_refused:
        (reason,) = said
        assert "not cleared by 1.9 paired standard errors" in reason
        assert "the best of 6 pruned states" in reason
    else:
        assert said == {None}


def test_what_was_refused_already_keeps_its_reason(job: Job, tmp_path: Path) -> None:
    tried = try_states(job, tmp_path, gained=0, names=("a", "b"))
    tried[0].facts["refused"] = "not faster than the original"
    refuse_lucky(job, cast("list[Candidate]", tried))
    assert tried[0].facts["refused"] == "not faster than the original"
    assert "the best of 2 pruned states" in tried[1].facts["refused"]
