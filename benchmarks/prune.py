"""Structured pruning without retraining: ours beside simpler rules, at equal measured speed.

All methods start from the same teacher and share one latency table, so that each fills the same
time budget.
"""

from __future__ import annotations

from typing import Any

from benchmarks.prune_case import ENGINE, PRECISION, judge_states, load_case
from benchmarks.prune_methods import METHODS, SEEDED
from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.compress.state import State
from thinfer.core.clock import SystemClock

SPEEDUPS = (1.25, 1.5, 2.0, 3.0)


def measure_set(settings: Settings, item: RealSet, seeds: int) -> dict[str, Any]:
    """Prune one teacher with every method to every speed-up."""
    case, clock = load_case(settings, item), SystemClock()
    seconds = dict(case.seconds)
    states: dict[tuple[str, float, int], State] = {}
    for name, method in METHODS.items():
        for speedup in SPEEDUPS:
            for seed in range(seeds if name in SEEDED else 1):
                started = clock.monotonic()
                states[name, speedup, seed] = method(case, speedup, settings.seed + seed)
                if (name, seed) == ("thinfer", 0):
                    seconds[f"to {speedup:g}"] = clock.monotonic() - started
                say(f"{item.name}: {name}, {speedup:g}, seed {seed}")
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
    parser.add_argument("--seeds", type=int, default=3, help="of ours; one of every other")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    for item in settings.present():
        save(settings, "prune", {item.name: measure_set(settings, item, arguments.seeds)})


if __name__ == "__main__":
    main()
