"""Brackets on a tiny trained model: finalists hold the floor, the rest is named, time ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.small_job import TickingClock, small_job
from thinfer.core.clock import ManualClock
from thinfer.pipeline.cutter import Cutter
from thinfer.pipeline.explore import Explorer, explore_states
from thinfer.pipeline.glance import Glancer
from thinfer.pipeline.job import Job
from thinfer.pipeline.space import Configuration
from thinfer.pipeline.states import StateTrial, cut_blocks_only, dense_state
from thinfer.pipeline.workspace import Workspace


def make_explorer(job: Job) -> Explorer:
    dense = dense_state(job)
    stands_in: Any = SimpleNamespace(state=dense.state)
    return Explorer(job, dense, Cutter(job, stands_in, None, lambda table: None), None)


def explore(
    job: Job, is_cleared: Callable[[str], bool] = lambda name: True
) -> tuple[list[StateTrial], dict[str, dict[str, Any]]]:
    dropped: dict[str, dict[str, Any]] = {}

    def left() -> float:
        return (job.deadline_s or 0.0) - job.clock.monotonic()

    return list(explore_states(job, make_explorer(job), left, is_cleared, dropped)), dropped


def test_finalists_clear_the_floor_and_all_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small_job(tmp_path)
    found, dropped = explore(job)
    assert found
    assert job.clock.now() < 80  # 60 s asked for; here each look at the clock is a second
    for trial in found:
        assert not trial.missed
        assert trial.logits.shape[0] == len(job.sets.dev)
    assert not {trial.name for trial in found} & set(dropped)
    assert dropped
    for name, row in dropped.items():
        assert row["name"] == name
        assert str(row["refused"]).startswith(f"dropped after rung {row['rung']}") or (
            "no time was left" in row["refused"]
        )
        assert row["predicted_ratio"] > 0
        assert row["dev_metrics"]["accuracy"] <= 1

    # A run that goes on makes and looks at nothing twice.
    request = dataclasses.replace(job.request, resume=True)
    again = dataclasses.replace(job, workspace=Workspace(request), clock=TickingClock())

    def fail(*args: object, **more: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Glancer, "look", fail)
    names = [trial.name for trial in explore(again)[0]]
    assert names == [trial.name for trial in found]


def test_without_time_nothing_is_begun(tmp_path: Path) -> None:
    job = dataclasses.replace(small_job(tmp_path), deadline_s=0.0)
    assert explore(job) == ([], {})


def test_a_configuration_is_what_its_name_says(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    explorer = make_explorer(job)
    space = explorer.space()
    assert space.layers == 2
    assert space.lengths == ()  # the model reads 32 tokens, and many texts have them
    count = space.min_counts[-1]
    assert count > 1
    configuration = Configuration(drop_layers=1, min_count=count, max_length=16)
    explorer.evaluate(configuration, 1)
    trial = explorer.finish(configuration)
    dense = dense_state(job).state
    assert len(trial.state.architecture.layers) == 1
    assert trial.state.max_length == trial.state.tokenizer.max_length == 16
    assert trial.state.architecture.vocab < dense.architecture.vocab
    assert trial.base is not None
    assert trial.root is not None
    assert trial.base.state.max_length == dense.max_length
    assert trial.base.root is not None
    assert trial.base.root.state.architecture.vocab == trial.state.architecture.vocab
    # For the factors: the model without its dropped layer, the other one whole.
    blocks = cut_blocks_only(dense, trial.base.state)
    assert blocks is not None
    assert blocks.architecture.layers == dense.architecture.layers[:1]


def test_only_the_last_rung_retrains_and_not_beyond_its_bracket(tmp_path: Path) -> None:
    job = dataclasses.replace(small_job(tmp_path, retrain="short"), clock=ManualClock())
    explorer = make_explorer(job)
    explorer.until_s = 30.0
    assert explorer.hurried().minutes_left() == 0.5
    configuration = Configuration(width=Fraction(1, 2))
    before = explorer.evaluate(configuration, 1)
    steps = [step["step"] for step in explorer.rows["width-1-2"]["steps"]]
    assert "distill" not in steps
    after = explorer.evaluate(configuration, 2)
    steps = [step["step"] for step in explorer.rows["width-1-2"]["steps"]]
    assert steps[-2:] == ["prune", "distill"]
    assert before.speed == after.speed
    refitted = job.workspace.folder("states/width-1-2-refitted")
    assert refitted.exists()
