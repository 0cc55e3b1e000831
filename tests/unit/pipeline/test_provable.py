"""A form that the test set can prove is preferred to a somewhat faster one that it cannot."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.support.toy_job import toy_job
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.job import Job
from thinfer.pipeline.provable import prefer_provable
from thinfer.quality.floor import parse_floor


@dataclasses.dataclass
class Timed:
    """What the rule looks at of a candidate."""

    name: str
    folder: Path
    facts: dict[str, Any]


def make(job: Job, root: Path, name: str, speed: float, lost: int, refused: str = "") -> Timed:
    """Let a form lose some rows of `dev`, all of which the original has right."""
    answers = job.sets.dev.truth.copy()
    answers[:lost] = (answers[:lost] + 1) % len(job.labels)
    folder = root / name
    folder.mkdir()
    np.save(folder / "dev.npy", np.eye(len(job.labels), dtype=np.float32)[answers])
    return Timed(name, folder, {"texts_per_second": speed, "refused": refused or None})


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A floor that 600 test rows prove where nothing is lost, and not where one in 100 is."""
    job = toy_job(tmp_path)
    corpus = job.sets.dev.corpus
    many = LabelledSet(
        corpus=dataclasses.replace(
            corpus, texts=corpus.texts * 6, rows=tuple(range(600)), labels=None
        ),
        truth=np.tile(job.sets.dev.truth, 6),
    )
    sets = dataclasses.replace(job.sets, test=many)
    floors = (parse_floor("accuracy>=99%", job.labels),)
    return dataclasses.replace(job, sets=sets, floors=floors)


def refuse(job: Job, *forms: Timed) -> list[str | None]:
    prefer_provable(job, cast("list[Candidate]", forms))
    return [form.facts["refused"] for form in forms]


def test_an_unproven_form_gives_way_to_a_provable_one_that_is_near(
    job: Job, tmp_path: Path
) -> None:
    whole, narrow = make(job, tmp_path, "whole", 80, 0), make(job, tmp_path, "narrow", 100, 1)
    refused = refuse(job, whole, narrow)
    assert refused[0] is None
    assert refused[1] is not None
    assert "600 test rows" in refused[1]
    assert "whole" in refused[1]


def test_a_provable_form_that_is_much_slower_is_not_waited_for(job: Job, tmp_path: Path) -> None:
    forms = make(job, tmp_path, "whole", 70, 0), make(job, tmp_path, "narrow", 100, 1)
    assert refuse(job, *forms) == [None, None]


def test_where_nothing_can_be_proven_or_was_cleared_nothing_is_refused(
    job: Job, tmp_path: Path
) -> None:
    forms = make(job, tmp_path, "a", 90, 1), make(job, tmp_path, "b", 100, 1)
    assert refuse(job, *forms) == [None, None]
    missed = make(job, tmp_path, "c", 100, 0, "on dev, it misses")
    assert refuse(job, missed) == ["on dev, it misses"]
    assert refuse(job) == []
