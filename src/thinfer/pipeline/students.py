"""Smaller models beside pruned ones: presets distilled from the dense state, in rungs.

A fresh model cannot compete with a pruned one after a few batches, so students have a bracket of
their own: each rung trains on more rows and for longer, from where the last rung ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from thinfer.architecture import Architecture, count_cost
from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.state import State
from thinfer.compress.student import begin_student
from thinfer.core.codec import to_json
from thinfer.nn.presets import PRESETS, Preset
from thinfer.nn.train import Encoded
from thinfer.pipeline.dropped import describe_missed
from thinfer.pipeline.glance import Glancer
from thinfer.pipeline.halving import Ladder, Score, halve
from thinfer.pipeline.job import Job
from thinfer.pipeline.latency import LatencyTable
from thinfer.pipeline.states import StateTrial, try_state
from thinfer.pipeline.workspace import keep_json

__all__ = ["offer_students", "student_states"]

_LADDER = Ladder(eta=2, finalists=1)
# A student must be this much cheaper than the dense model; else pruning is the shorter way.
_LEAST_GAIN = 0.8
_EPOCHS: Mapping[str, tuple[int, ...]] = {"short": (1, 2, 4), "full": (2, 4, 10)}
_RATE = {"taken": 1e-4, "drawn": 5e-4}  # layers of the teacher's take small steps, fresh ones large
_SHARE = 0.5  # of the time left: the rest is for pruned states and for forms


def offer_students(
    dense: Architecture, *, length: int, presets: Mapping[str, Preset]
) -> dict[str, Architecture]:
    """Give the presets that are worth distilling into, with the teacher's embedding rows.

    Args:
        dense: the teacher's shape.
        length: tokens of a typical text.
        presets: name → size.

    Returns:
        Name → shape, the cheapest last: hidden sizes up to the teacher's, at most 0.8 of its work.
    """
    whole = count_cost(dense, length=length).macs
    found: dict[str, Architecture] = {}
    for name, preset in presets.items():
        size = preset.architecture(
            vocab=dense.vocab, positions=dense.positions, classes=dense.classes
        )
        shape = replace(dense, hidden=size.hidden, layers=size.layers)
        work = count_cost(shape, length=length).macs
        if size.hidden <= dense.hidden and work <= _LEAST_GAIN * whole:
            found[name] = shape
    return dict(sorted(found.items(), key=lambda item: -count_cost(item[1], length=length).macs))


def student_states(
    job: Job,
    dense: StateTrial,
    table: LatencyTable | None,
    seconds_left: Callable[[], float],
    dropped: dict[str, dict[str, Any]],
) -> Iterator[StateTrial]:
    """Give the best student, if one is within the floors; none where nothing is to be retrained.

    Args:
        job: the run.
        dense: the teacher.
        table: prices of widths, for students of the teacher's hidden size.
        seconds_left: what the search may still use.
        dropped: rows of students that did not go on are added here, by name.

    Yields:
        At most one student.
    """
    left = seconds_left()
    if job.request.retrain == "none" or left <= 0:
        return
    length = max(1, round(float(job.calibration(dense.state.tokenizer).lengths.mean())))
    shapes = offer_students(dense.state.architecture, length=length, presets=PRESETS)
    if not shapes:
        job.progress.note("no preset is smaller than this model: no students")
        return
    school = _School(job, dense.state, table, shapes)
    job.progress.note(f"students: {', '.join(shapes)}, {_SHARE * left:.0f} s for them")
    until = job.clock.monotonic() + _SHARE * left
    school.deadline_s = until
    found = halve(tuple(shapes), school.evaluate, _LADDER, deadline_s=until, clock=job.clock)
    for drop in found.dropped:
        if drop.configuration in school.rows:
            row = {**school.rows[drop.configuration], "refused": drop.reason}
            dropped[row["name"]] = row
    for name in found.finalists:
        state = school.state(name, _LADDER.rungs - 1)
        yield try_state(job, _name(name, _LADDER.rungs - 1), state)


class _School:
    """Trains and scores students; a rung that an interrupted run finished is not trained again."""

    def __init__(
        self, job: Job, teacher: State, table: LatencyTable | None, shapes: Mapping[str, Any]
    ) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.deadline_s = float("inf")
        self._job = job
        self._teacher = teacher
        self._shapes = shapes
        self._glancer = Glancer(job, teacher, table, rungs=_LADDER.rungs, eta=_LADDER.eta)
        self._order = job.rng().permutation(len(job.sets.train))
        job.workspace.folder("rungs").mkdir(exist_ok=True)

    def evaluate(self, name: str, rung: int) -> Score:
        """Train one rung further and look."""

        def look() -> dict[str, Any]:
            state = self.state(name, rung)
            score, answers = self._glancer.look(state, rung)
            row = describe_missed(
                self._job,
                _name(name),
                state,
                answers=answers,
                reason="",
                rows=self._glancer.rows(rung),
                ratio=score.speed,
            )
            return {"score": to_json(score), "row": {**row, "rung": rung}}

        place = self._job.workspace.folder(f"rungs/student-{name}-{rung}.json")
        seen = keep_json(place, look)
        self.rows[name] = seen["row"]
        return Score(**seen["score"])

    def state(self, name: str, rung: int) -> State:
        """Give a student as it left a rung."""
        return self._job.workspace.state(
            _name(name, rung), self._teacher, lambda: self._train(name, rung)
        )

    def _train(self, name: str, rung: int) -> State:
        job, teacher = self._job, self._teacher
        if rung:
            before = self.state(name, rung - 1)
        else:
            before, _ = begin_student(teacher, self._shapes[name], rng=job.rng())
        begun = next(report for report in before.history if report.step == "student")
        kind = "taken" if begun.details["layers_taken"] else "drawn"
        is_last = rung + 1 == _LADDER.rungs
        count = max(1, len(job.sets.train) // _LADDER.eta ** (_LADDER.rungs - 1 - rung))
        rows = np.sort(self._order[:count])
        more = job.sets.unlabelled if is_last else None
        seconds = max(1.0, self.deadline_s - job.clock.monotonic())
        settings = DistillSettings()
        trained, report = distill(
            before,
            teacher,
            _encode(job, before, rows),
            dev=Encoded(
                batch=job.sets.dev.encode(before.tokenizer).batch, targets=job.sets.dev.truth
            ),
            unlabelled=before.tokenizer.encode(more.texts, more.pairs).batch if more else None,
            settings=replace(
                settings,
                train=replace(
                    settings.train,
                    epochs=_EPOCHS[job.request.retrain][rung],
                    learning_rate=_RATE[kind],
                    seed=job.request.seed,
                    max_minutes=seconds / 60,
                ),
                # Another hidden size has no hidden states to compare with the teacher's.
                hidden_weight=settings.hidden_weight if _is_alike(before, teacher) else 0.0,
            ),
            progress=job.progress,
            clock=job.clock,
        )
        if report.outcome == "refused":
            return replace(trained, history=(*trained.history, report))
        return trained


def _encode(job: Job, state: State, rows: Any) -> Encoded:  # noqa: ANN401 - int64 [rows]
    part = job.sets.train.corpus.select([int(row) for row in rows])
    batch = state.tokenizer.encode(part.texts, part.pairs).batch
    return Encoded(batch=batch, targets=job.sets.train.truth[rows])


def _is_alike(student: State, teacher: State) -> bool:
    return student.architecture.hidden == teacher.architecture.hidden


def _name(preset: str, rung: int | None = None) -> str:
    is_finished = rung is None or rung + 1 == _LADDER.rungs
    return f"student-{preset}" if is_finished else f"student-{preset}-rung-{rung}"
