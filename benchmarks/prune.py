"""Structured pruning without retraining: ours beside simpler rules, at equal measured speed.

All methods start from the same teacher and share one latency table, so that each fills the same
time budget.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peer_env import StartError
from benchmarks.prune_case import ENGINE, PRECISION, judge_states, load_case
from benchmarks.prune_methods import METHODS, SEEDED
from benchmarks.prune_peers import prune_with_torch_pruning
from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.compress.state import State
from thinfer.core.clock import SystemClock

_LIBRARY = "torch-pruning"


def measure_set(
    settings: Settings,
    item: RealSet,
    names: Sequence[str],
    speedups: Sequence[float],
    seeds: int,
    peer: Path | None,
) -> dict[str, Any]:
    """Prune one teacher with some methods to every speed-up."""
    case, clock = load_case(settings, item), SystemClock()
    seconds = dict(case.seconds)
    states: dict[tuple[str, float, int], State] = {}
    for name, method in METHODS.items():
        if name not in names:
            continue
        for speedup in speedups:
            for seed in range(seeds if name in SEEDED else 1):
                started = clock.monotonic()
                states[name, speedup, seed] = method(case, speedup, settings.seed + seed)
                if (name, seed) == ("thinfer", 0):
                    seconds[f"to {speedup:g}"] = clock.monotonic() - started
                say(f"{item.name}: {name}, {speedup:g}, seed {seed}")
    if _LIBRARY in names:
        try:
            states |= prune_with_torch_pruning(settings, item, case, speedups, peer)
        except StartError as error:
            say(f"{_LIBRARY}: {error}")
    judged = judge_states(case, states)
    return {
        "engine": f"{ENGINE} {PRECISION}",
        "rows": len(case.sets.test),
        "dense_accuracy": next(iter(judged.values()))["dense_accuracy"],
        "seconds": seconds,
        "states": [
            {"method": name, "asked": asked, "seed": seed, **judged[name, asked, seed]}
            for name, asked, seed in states
        ],
    }


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    parser = make_parser(__doc__)
    every = [*METHODS, _LIBRARY]
    parser.add_argument("--method", action="append", choices=every, help="one or more; else all")
    parser.add_argument("--speedups", default="1.25,1.5,2,3", help="times as fast, by the table")
    parser.add_argument("--seeds", type=int, default=3, help="of ours; one of every other")
    parser.add_argument(
        "--torch-pruning-python",
        type=Path,
        default=os.environ.get("BENCH_TORCH_PRUNING_PYTHON"),
        help="an interpreter that has peers/torch_pruning/requirements.txt; else one is made",
    )
    arguments = parser.parse_args()
    settings, peer = to_settings(arguments), arguments.torch_pruning_python
    names = arguments.method or every
    speedups = tuple(float(part) for part in arguments.speedups.split(","))
    for item in settings.present():
        found = measure_set(settings, item, names, speedups, arguments.seeds, peer)
        save(settings, "prune", {item.name: found})


if __name__ == "__main__":
    main()
