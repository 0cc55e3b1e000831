"""What `--minutes` adds: brackets of successive halving over depth, width, token rows and length.

Rung 0 stitches a state together and reads a few rows of `dev`; rung 1 repairs it as a candidate is
repaired; rung 2 reads all rows, after retraining where that was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from thinfer.compress.embedding import cut_vocabulary, prune_positions
from thinfer.compress.layers import choose_layers
from thinfer.compress.state import State
from thinfer.core.codec import to_json
from thinfer.errors import DataError
from thinfer.pipeline.cutter import Cutter
from thinfer.pipeline.dropped import describe_missed
from thinfer.pipeline.glance import Glancer
from thinfer.pipeline.halving import Drop, Halved, Ladder, Score, halve
from thinfer.pipeline.job import Job, covering_texts
from thinfer.pipeline.latency import LatencyTable
from thinfer.pipeline.retrain import retrain
from thinfer.pipeline.shorten import find_lengths
from thinfer.pipeline.space import Configuration, Space, draw_configurations
from thinfer.pipeline.states import StateTrial, try_state
from thinfer.pipeline.workspace import keep_json
from thinfer.text.tokenizer import Tokenizer
from thinfer.text.vocabulary import VocabularyPlan, plan_vocabulary, prune_tokenizer

__all__ = ["Explorer", "explore_states"]

# The repair of rung 1 takes by far the longest, unless rung 2 retrains.
_LADDER = Ladder(parts=(1, 4, 1))
_RETRAINED = (1, 2, 4)
_DRAWN = (27, 9)  # configurations of a bracket that begins on rung 0, and of one on rung 1
_SHARE = 0.6  # of the time left, for a bracket; the rest is for the forms of its finalists
_COUNTS = (2, 5)  # token rows seen less often than that go
_WORTH = 0.95  # such a cut must leave fewer than this part of the rows
_LAYER_TOKENS = 2048
_FASTER = 1.05  # than what has cleared; less is a tie in the choice as well


class Explorer:
    """Makes and scores configurations.

    Args:
        job: the run.
        dense: the dense state, tried.
        cutter: cuts it.
        table: prices of widths; counted work when absent.

    Attributes:
        rows: the last row of the result for each configuration that was looked at, by name.
        until_s: reading of the monotonic clock by which retraining ends; infinity at first.
    """

    def __init__(
        self, job: Job, dense: StateTrial, cutter: Cutter, table: LatencyTable | None
    ) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.until_s = math.inf
        self._job = job
        self._dense = dense
        self._cutter = cutter
        self._glancer = Glancer(job, dense.state, table, rungs=_LADDER.rungs, eta=_LADDER.eta)
        self._plans: dict[int, tuple[VocabularyPlan, Tokenizer]] = {}
        self._layers: dict[int, tuple[int, ...]] = {0: ()}
        job.workspace.folder("rungs").mkdir(exist_ok=True)

    def hurried(self) -> Job:
        """Give the run with the bracket's end for its own, so that no retraining goes beyond."""
        return replace(self._job, deadline_s=min(self.until_s, self._job.deadline_s or math.inf))

    def prepare(self) -> None:
        """Do now what all configurations need, so that the first takes no longer than others."""
        self._cutter.prepare()

    def space(self) -> Space:
        """Give what may be drawn for this model and text."""
        dense = self._dense.state
        texts = covering_texts(self._job.sets)
        left, counts = float(dense.architecture.vocab), [1]
        for count in _COUNTS:
            try:
                plan = plan_vocabulary(dense.tokenizer, texts, min_count=count)
            except DataError as error:
                self._job.progress.note(f"no further cut of token rows: {error}")
                break
            if plan.kept < _WORTH * left:
                self._plans[count] = plan, prune_tokenizer(dense.tokenizer, plan)
                counts.append(count)
                left = plan.kept
        layers = len(dense.architecture.layers)
        return Space(layers=layers, min_counts=tuple(counts), lengths=find_lengths(self._job))

    def evaluate(self, configuration: Configuration, rung: int) -> Score:
        """Look at a configuration; what an interrupted run saw is not looked at again.

        Args:
            configuration: which one.
            rung: how closely, from 0.
        """
        name = configuration.name

        def look() -> dict[str, Any]:
            state = self._make(configuration, rung)
            score, answers = self._glancer.look(state, rung)
            row = describe_missed(
                self._job,
                name,
                state,
                answers=answers,
                reason="",
                rows=self._glancer.rows(rung),
                ratio=score.speed,
            )
            return {"score": to_json(score), "row": {**row, "rung": rung}}

        seen = keep_json(self._job.workspace.folder(f"rungs/{name}-{rung}.json"), look)
        self.rows[name] = seen["row"]
        return Score(**seen["score"])

    def speed(self, configuration: Configuration) -> float:
        """Give the throughput predicted for what was looked at, to the dense state's.

        Args:
            configuration: which one.
        """
        return float(self.rows[configuration.name]["predicted_ratio"])

    def finish(self, configuration: Configuration) -> StateTrial:
        """Give the state of a finalist, tried on all of `dev`, with what it was cut from.

        Args:
            configuration: which one.
        """
        last = _LADDER.rungs - 1
        state = self._make(configuration, last)
        trial = try_state(self._job, configuration.name, state)
        root, base = None, None
        if configuration.min_count > 1:
            dense = Configuration(min_count=configuration.min_count)
            root = _untried(f"dense-{dense.name}", self._make(dense, last))
        if configuration.max_length is not None:
            whole = replace(configuration, max_length=None)
            base = replace(_untried(f"{whole.name}", self._make(whole, last)), root=root)
        return replace(trial, root=root, base=base)

    def _make(self, configuration: Configuration, rung: int) -> State:
        if rung == 0:
            return self._vary(self._sketch(configuration), configuration)
        return self._job.workspace.state(
            f"{configuration.name}{self._suffix(rung)}",
            self._dense.state,
            lambda: self._vary(self._trunk(configuration, rung), configuration),
        )

    def _suffix(self, rung: int) -> str:
        is_last = rung + 1 == _LADDER.rungs
        return "" if is_last or self._job.request.retrain == "none" else "-refitted"

    def _sketch(self, configuration: Configuration) -> State:
        if configuration.drop_layers == 0 and configuration.width == 1:
            return self._dense.state
        return self._cutter.sketch(configuration.width, self._drop(configuration.drop_layers))

    def _trunk(self, configuration: Configuration, rung: int) -> State:
        """Give the state of depth and width alone, shared by all that differ in the text."""
        plain = Configuration(drop_layers=configuration.drop_layers, width=configuration.width)
        dense, suffix = self._dense.state, self._suffix(rung)
        if plain == Configuration():
            return dense

        def make() -> State:
            small = self._cutter.refit(plain.width, self._drop(plain.drop_layers))
            return small if suffix else retrain(self.hurried(), small, dense)

        if plain == configuration:  # the caller keeps it under the same name
            return make()
        return self._job.workspace.state(f"{plain.name}{suffix}", dense, make)

    def _drop(self, count: int) -> tuple[int, ...]:
        if count not in self._layers:
            self._layers[count] = choose_layers(
                self._dense.state,
                self._job.calibration(self._dense.state.tokenizer),
                count,
                rng=self._job.rng(),
                max_tokens=_LAYER_TOKENS,
                progress=self._job.progress,
            )
        return self._layers[count]

    def _vary(self, state: State, configuration: Configuration) -> State:
        if configuration.min_count > 1:
            state, _ = cut_vocabulary(state, *self._plans[configuration.min_count])
        if configuration.max_length is not None:
            state, _ = prune_positions(state, configuration.max_length)
        return state


def explore_states(
    job: Job,
    explorer: Explorer,
    seconds_left: Callable[[], float],
    is_cleared: Callable[[str], bool],
    dropped: dict[str, dict[str, Any]],
) -> Iterator[StateTrial]:
    """Give finalists, bracket after bracket, until the time or the space is used up.

    What was dropped only because others promised more speed comes back in the next bracket, for
    those others may have missed the floor on more rows; what was seen is not looked at again.

    Args:
        job: the run.
        explorer: makes and scores.
        seconds_left: what the search may still use; asked between brackets, after the forms of
            the finalists so far were made.
        is_cleared: whether a form of the state of that name has cleared the floors.
        dropped: rows of configurations that did not go on, by name; kept up to date.

    Yields:
        Finalists, the most promising of a bracket first.
    """
    if seconds_left() <= 0:
        return
    explorer.prepare()
    space, rng = explorer.space(), job.rng()
    known: set[Configuration] = set()
    again: tuple[Configuration, ...] = ()
    finalists: list[Configuration] = []
    bracket = 0
    while (left := seconds_left()) > 0:
        bar = max((explorer.speed(each) for each in finalists if is_cleared(each.name)), default=0)
        again = tuple(each for each in again if explorer.speed(each) > _FASTER * bar)
        parts = _LADDER.parts if job.request.retrain == "none" else _RETRAINED
        ladder = replace(_LADDER, first=bracket % 2, parts=parts)
        room = max(0, _DRAWN[ladder.first] - len(again))
        drawn = draw_configurations(space, room, rng=rng, known=known)
        if not drawn and not again:
            job.progress.note("the whole space was looked at")
            return
        known |= set(drawn)
        job.progress.note(
            f"bracket {bracket}: {len(drawn)} new configurations and {len(again)} once more, "
            f"{left:.0f} s left"
        )
        explorer.until_s = until = job.clock.monotonic() + _SHARE * left
        found = halve(
            (*again, *drawn), explorer.evaluate, ladder, deadline_s=until, clock=job.clock
        )
        again = tuple(each.configuration for each in found.dropped if each.is_for_speed)
        _enter(explorer, found.dropped, dropped)
        job.progress.note(_tell(found))
        for configuration in found.finalists:
            name = configuration.name
            dropped.pop(name, None)
            if seconds_left() > 0:
                finalists.append(configuration)
                yield explorer.finish(configuration)
            else:
                reason = f"dropped after rung {ladder.rungs - 1}: no time was left for its forms"
                dropped[name] = {**explorer.rows[name], "refused": reason}
        bracket += 1


def _enter(
    explorer: Explorer,
    drops: Sequence[Drop[Configuration]],
    dropped: dict[str, dict[str, Any]],
) -> None:
    for drop in drops:
        name = drop.configuration.name
        if name in explorer.rows:  # what was never looked at has nothing to show
            dropped[name] = {**explorer.rows[name], "refused": drop.reason}


def _tell(found: Halved[Configuration]) -> str:
    names = ", ".join(each.name for each in found.finalists) or "none"
    unseen = sum(drop.score is None for drop in found.dropped)
    return f"finalists: {names}; {len(found.dropped)} dropped, {unseen} of them for want of time"


def _untried(name: str, state: State) -> StateTrial:
    return StateTrial(name=name, state=state, logits=np.empty((0, 0), np.float32), missed=())
