"""Pruning with short retraining, and how much unlabelled text helps where labels are few.

The speed-ups are the table's; each state is repaired, then distilled from the dense one for two
epochs (`compress --retrain short`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.prune_case import ENGINE, PRECISION, Case, judge_states, load_case
from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.prune import PruneTarget, SearchSettings, prune_to
from thinfer.compress.state import State
from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress
from thinfer.nn.train import Encoded, TrainSettings
from thinfer.text.batch import Batch

SPEEDUPS = (2.0, 4.0)
_EPOCHS = 2
_LABELLED = 2000  # rows that keep their labels in the second part
_UNLABELLED_AT = 4.0


def measure_set(settings: Settings, item: RealSet, counts: tuple[int, ...]) -> dict[str, Any]:
    """Prune one teacher, with and without retraining."""
    case, clock = load_case(settings, item), SystemClock()
    batch, truth = case.sets.train.encode(case.state.tokenizer).batch, case.sets.train.truth
    states: dict[tuple[str, float, int], State] = {}
    seconds = {}
    for speedup in SPEEDUPS:
        cut = _prune(case, speedup)
        states["no retraining", speedup, 0] = cut
        started = clock.monotonic()
        states["short", speedup, 0] = _distil(case, cut, Encoded(batch=batch, targets=truth), None)
        seconds[f"short, {speedup:g}"] = clock.monotonic() - started
        say(f"{item.name}: {speedup:g}")
    if counts:
        order = np.random.default_rng(settings.seed).permutation(len(truth))
        rows, rest = order[:_LABELLED], order[_LABELLED:]
        few = Encoded(batch=batch.select(rows), targets=truth[rows])
        cut = states["no retraining", _UNLABELLED_AT, 0]
        for count in sorted({min(count, len(rest)) for count in counts}):
            more = batch.select(rest[:count]) if count else None
            states["2,000 labelled", _UNLABELLED_AT, count] = _distil(case, cut, few, more)
            say(f"{item.name}: {count} unlabelled rows")
    judged = judge_states(case, states)
    return {
        "engine": f"{ENGINE} {PRECISION}",
        "rows": len(case.sets.test),
        "dense_accuracy": next(iter(judged.values()))["dense_accuracy"],
        "seconds": seconds,
        "states": [
            {"method": name, "asked": asked, "unlabelled": more, **judged[name, asked, more]}
            for name, asked, more in states
        ],
    }


def _prune(case: Case, speedup: float) -> State:
    small, _ = prune_to(
        case.state,
        case.ladders,
        case.calibration,
        PruneTarget(budget=case.budget(speedup)),
        costs=case.costs,
        search=SearchSettings(),
    )
    return small


def _distil(case: Case, small: State, train: Encoded, more: Batch | None) -> State:
    dev = Encoded(batch=case.sets.dev.encode(small.tokenizer).batch, targets=case.sets.dev.truth)
    settings = TrainSettings(epochs=_EPOCHS, learning_rate=1e-4, dropout=0.0)
    trained, _ = distill(
        small,
        case.state,
        train,
        dev=dev,
        unlabelled=more,
        settings=DistillSettings(train=settings),
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
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    counts = tuple(int(part) for part in arguments.unlabelled.split(",") if part)
    for item in settings.present():
        save(settings, "retrain", {item.name: measure_set(settings, item, counts)})


if __name__ == "__main__":
    main()
