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

Key = tuple[str, float, int, int]  # method, speed-up asked for, seed, unlabelled rows


def measure_set(
    settings: Settings,
    item: RealSet,
    counts: tuple[int, ...],
    kinds: tuple[str, ...],
    speedups: tuple[float, ...],
    seeds: int,
) -> dict[str, Any]:
    """Prune one teacher, with and without retraining."""
    case, clock = load_case(settings, item), SystemClock()
    batch, truth = case.sets.train.encode(case.state.tokenizer).batch, case.sets.train.truth
    every = Encoded(batch=batch, targets=truth)
    states: dict[Key, State] = {}
    seconds = {}
    reached = _list_reached(case, item, speedups)
    for speedup in reached:
        for seed in range(settings.seed, settings.seed + seeds):
            cut = _prune(case, speedup, seed)
            states["no retraining", speedup, seed, 0] = cut
            for kind in kinds:
                started = clock.monotonic()
                start = cut
                if kind == "full":
                    start = _prune_by_halves(case, speedup, every, seed)
                recipe = recipe_of(kind, seed=seed)
                states[kind, speedup, seed, 0] = _distil(case, start, every, None, recipe)
                if seed == settings.seed:
                    seconds[f"{kind}, {speedup:g}"] = clock.monotonic() - started
                say(f"{item.name}: {kind} at {speedup:g}, seed {seed}")
    if counts and _UNLABELLED_AT in reached:
        order = np.random.default_rng(settings.seed).permutation(len(truth))
        rows, rest = order[:_LABELLED], order[_LABELLED:]
        few = Encoded(batch=batch.select(rows), targets=truth[rows])
        cut = states["no retraining", _UNLABELLED_AT, settings.seed, 0]
        for count in sorted({min(count, len(rest)) for count in counts}):
            more = batch.select(rest[:count]) if count else None
            recipe = recipe_of("short", seed=settings.seed)
            key = ("2,000 labelled", _UNLABELLED_AT, settings.seed, count)
            states[key] = _distil(case, cut, few, more, recipe)
            say(f"{item.name}: {count} unlabelled rows")
    judged = judge_states(case, states)
    return {
        "engine": f"{ENGINE} {PRECISION}",
        "rows": len(case.sets.test),
        "dense_accuracy": next(item["dense_accuracy"] for item in judged.values()),
        "seconds": seconds,
        "states": [
            {"method": key[0], "asked": key[1], "seed": key[2], "unlabelled": key[3], **judged[key]}
            for key in states
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


def _prune(case: Case, speedup: float, seed: int) -> State:
    return _prune_with(case.pruner, case.budget(speedup), seed)


def _prune_by_halves(case: Case, speedup: float, train: Encoded, seed: int) -> State:
    """Cut half the way, in factors, distil, and cut again, as `pipeline.cutter` does."""
    budget = (case.price * case.budget(speedup)) ** 0.5
    wide = _prune_with(case.pruner, budget, seed)
    middle = _distil(case, wide, train, None, recipe_of("full", seed=seed, is_halfway=True))
    ladders = build_ladders(
        middle,
        case.calibration,
        rng=np.random.default_rng(seed),
        settings=PruneSettings(keep_moments=True),
    )
    costs = case.table.costs(ladders, "batch")
    pruner = Pruner(middle, ladders, case.calibration, costs=costs, is_kept=False)
    return _prune_with(pruner, case.budget(speedup), seed)


def _prune_with(pruner: Pruner, budget: float, seed: int) -> State:
    return pruner.prune(PruneTarget(budget=budget), search=SearchSettings(seed=seed))[0]


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
    parser.add_argument("--seeds", type=int, default=1, help="of the search and the retraining")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    counts = tuple(int(part) for part in arguments.unlabelled.split(",") if part)
    kinds = tuple(part for part in arguments.kinds.split(",") if part)
    speedups = tuple(float(part) for part in arguments.speedups.split(","))
    for item in settings.present():
        found = measure_set(settings, item, counts, kinds, speedups, arguments.seeds)
        save(settings, "retrain", {item.name: found})


if __name__ == "__main__":
    main()
