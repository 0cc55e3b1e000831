"""Pruning with retraining, and how much unlabelled text helps where labels are few.

The speed-ups are the table's. Each state is repaired, then distilled from the dense one as
`compress --retrain short` does; or it is cut half the way, distilled, cut again and distilled for
longer, as `--retrain full` does.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.prune_case import ENGINE, PRECISION, Case, judge_states, load_case
from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.prune import (
    Pruner,
    PruneSettings,
    PruneTarget,
    SearchSettings,
    build_ladders,
)
from thinfer.compress.state import State
from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress
from thinfer.nn.train import Encoded
from thinfer.pipeline.retrain import recipe_of
from thinfer.text.batch import Batch

_LABELLED = 2000  # rows that keep their labels in the second part
_UNLABELLED_AT = 4.0


def measure_set(
    settings: Settings,
    item: RealSet,
    counts: tuple[int, ...],
    kinds: tuple[str, ...],
    speedups: tuple[float, ...],
) -> dict[str, Any]:
    """Prune one teacher, with and without retraining."""
    case, clock = load_case(settings, item), SystemClock()
    batch, truth = case.sets.train.encode(case.state.tokenizer).batch, case.sets.train.truth
    states: dict[tuple[str, float, int], State] = {}
    seconds = {}
    reached = _list_reached(case, item, speedups)
    for speedup in reached:
        cut = _prune(case, speedup)
        states["no retraining", speedup, 0] = cut
        every = Encoded(batch=batch, targets=truth)
        for kind in kinds:
            started = clock.monotonic()
            start = cut
            if kind == "full":
                start = _prune_by_halves(case, speedup, every, settings.seed)
            recipe = recipe_of(kind, seed=settings.seed)
            states[kind, speedup, 0] = _distil(case, start, every, None, recipe)
            seconds[f"{kind}, {speedup:g}"] = clock.monotonic() - started
            say(f"{item.name}: {kind} at {speedup:g}")
    if counts and _UNLABELLED_AT in reached:
        order = np.random.default_rng(settings.seed).permutation(len(truth))
        rows, rest = order[:_LABELLED], order[_LABELLED:]
        few = Encoded(batch=batch.select(rows), targets=truth[rows])
        cut = states["no retraining", _UNLABELLED_AT, 0]
        for count in sorted({min(count, len(rest)) for count in counts}):
            more = batch.select(rest[:count]) if count else None
            recipe = recipe_of("short", seed=settings.seed)
            states["2,000 labelled", _UNLABELLED_AT, count] = _distil(case, cut, few, more, recipe)
            say(f"{item.name}: {count} unlabelled rows")
    judged = judge_states(case, states)
    return {
        "engine": f"{ENGINE} {PRECISION}",
        "rows": len(case.sets.test),
        "dense_accuracy": next(item["dense_accuracy"] for item in judged.values()),
        "seconds": seconds,
        "states": [
            {"method": name, "asked": asked, "unlabelled": more, **judged[name, asked, more]}
            for name, asked, more in states
        ],
    }


def _list_reached(case: Case, item: RealSet, speedups: tuple[float, ...]) -> list[float]:
    reached = [speedup for speedup in speedups if case.budget(speedup) > 0]
    for speedup in speedups:
        if speedup not in reached:
            say(f"{item.name}: {speedup:g} left out, pruning alone cannot reach it")
    if not reached:
        sys.exit(f"{item.name}: no speed-up is within reach")
    return reached


def _prune(case: Case, speedup: float) -> State:
    return _prune_with(case.pruner, case.budget(speedup))


def _prune_by_halves(case: Case, speedup: float, train: Encoded, seed: int) -> State:
    """Cut half the way, in factors, distil, and cut again, as `pipeline.cutter` does."""
    budget = (case.price * case.budget(speedup)) ** 0.5
    wide = _prune_with(case.pruner, budget)
    middle = _distil(case, wide, train, None, recipe_of("full", seed=seed, is_halfway=True))
    ladders = build_ladders(
        middle,
        case.calibration,
        rng=np.random.default_rng(seed),
        settings=PruneSettings(keep_moments=True),
    )
    costs = case.table.costs(ladders, "batch")
    pruner = Pruner(middle, ladders, case.calibration, costs=costs, is_kept=False)
    return _prune_with(pruner, case.budget(speedup))


def _prune_with(pruner: Pruner, budget: float) -> State:
    return pruner.prune(PruneTarget(budget=budget), search=SearchSettings())[0]


def _distil(
    case: Case, small: State, train: Encoded, more: Batch | None, recipe: DistillSettings
) -> State:
    dev = Encoded(batch=case.sets.dev.encode(small.tokenizer).batch, targets=case.sets.dev.truth)
    trained, _ = distill(
        small,
        case.state,
        train,
        dev=dev,
        unlabelled=more,
        settings=recipe,
        progress=SilentProgress(),
        clock=SystemClock(),
    )
    return trained


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--unlabelled", default="", help="numbers of unlabelled rows to try, like 0,10000,99999999"
    )
    parser.add_argument("--kinds", default="short,full", help="some of short, full")
    parser.add_argument("--speedups", default="2,4", help="times as fast, by the table")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    counts = tuple(int(part) for part in arguments.unlabelled.split(",") if part)
    kinds = tuple(part for part in arguments.kinds.split(",") if part)
    speedups = tuple(float(part) for part in arguments.speedups.split(","))
    for item in settings.present():
        found = measure_set(settings, item, counts, kinds, speedups)
        save(settings, "retrain", {item.name: found})


if __name__ == "__main__":
    main()
