from pathlib import Path

import numpy as np
import pytest

from tests.support.small_job import small_job
from thinfer.pipeline.glance import Glancer
from thinfer.pipeline.states import dense_state


def test_nearer_looks_contain_farther_ones_and_the_last_reads_all(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    glancer = Glancer(job, job.original, None, rungs=3, eta=3)
    few, more, everything = (set(glancer.rows(rung).tolist()) for rung in range(3))
    assert few <= more <= everything == set(range(len(job.sets.dev)))
    assert len(few) == 64  # a ninth of 120 rows would say nothing


def test_the_original_is_within_every_floor_and_as_fast_as_itself(tmp_path: Path) -> None:
    job = small_job(tmp_path, floor="accuracy>=100%")
    glancer = Glancer(job, job.original, None, rungs=3, eta=3)
    score, answers = glancer.look(job.original, 2)
    assert (score.is_within, score.speed, score.quality) == (True, 1.0, 1.0)
    np.testing.assert_array_equal(answers, job.original_dev)


def test_a_margin_below_zero_forgives_and_above_zero_demands(tmp_path: Path) -> None:
    job = small_job(tmp_path, floor="accuracy>=98%")
    glancer = Glancer(job, job.original, None, rungs=3, eta=3)
    rows = glancer.rows(2)
    right = np.flatnonzero(job.original_dev == job.sets.dev.truth)
    answers = job.original_dev.copy()
    answers[right[:3]] = (answers[right[:3]] + 1) % len(job.labels)  # 3 of about 100 lost
    margins = (-2.0, 0.0, 1.0)
    missed = [bool(glancer.misses(answers, rows, margin_se=margin)) for margin in margins]
    assert missed == [False, True, True]


def test_shorter_texts_count_as_less_work(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    state = dense_state(job).state
    glancer = Glancer(job, state, None, rungs=3, eta=3)
    shorter = state.tokenizer.with_max_length(8)
    ratio = glancer.predict(state.replace(state.history[-1], tokenizer=shorter))
    before, after = (job.calibration(each).lengths.sum() for each in (state.tokenizer, shorter))
    assert ratio == pytest.approx(before / after)
    assert ratio > 2
