"""Students on a tiny task: which sizes are offered, and that each rung goes on from the last."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.small_job import small_job
from thinfer.core.clock import ManualClock
from thinfer.nn.presets import Preset
from thinfer.pipeline import students
from thinfer.pipeline.states import dense_state


def test_students_learn_in_rungs_and_are_offered_only_where_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small_job(tmp_path, floor="accuracy>=30%", retrain="short")
    dense = dense_state(job)
    shape = dense.state.architecture
    presets = {
        "half": Preset(layers=1, hidden=48, heads=4, ffn=96),
        "narrow": Preset(layers=2, hidden=24, heads=2, ffn=48),
        "same": Preset(layers=2, hidden=48, heads=4, ffn=96),
        "wide": Preset(layers=1, hidden=96, heads=4, ffn=96),
    }
    offered = students.offer_students(shape, length=20, presets=presets)
    assert list(offered) == ["narrow", "half"]
    monkeypatch.setattr(students, "PRESETS", presets)
    dropped: dict[str, dict[str, Any]] = {}
    job = dataclasses.replace(job, clock=ManualClock())
    found = list(students.student_states(job, dense, None, lambda: 1e6, dropped))
    assert len(found) == len(dropped) == 1
    steps = [report.step for report in found[0].state.history]
    assert steps[-4:] == ["student", "distill", "distill", "distill"]
    assert np.mean(found[0].logits.argmax(1) == job.original_dev) > 0.5
    assert next(iter(dropped.values()))["refused"].startswith("dropped after rung")


def test_no_students_without_retraining(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    assert list(students.student_states(job, dense_state(job), None, lambda: 1e6, {})) == []
