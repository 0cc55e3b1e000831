"""Smaller models that learn from the teacher, by others' recipes and by ours, at equal speed.

PaddleNLP's DynaBERT, distillation to smaller presets from nothing, and distillation to the
teacher's own first layers. Each is timed first; ours is then pruned to the speed that was measured
and distilled for as many epochs.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dynabert import compress_with_paddle, record_newest
from benchmarks.peer_env import StartError
from benchmarks.prune_case import ENGINE, PRECISION, Case, judge_states, load_case, time_states
from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.prune import PruneTarget, SearchSettings
from thinfer.compress.state import State
from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress
from thinfer.nn.presets import PRESETS, draw_encoder
from thinfer.nn.train import Encoded, TrainSettings

OURS = "thinfer, pruned and distilled"
_RATE, _FRESH_RATE = 1e-4, 3e-4  # from trained weights, and from nothing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one run is told beside the usual options."""

    epochs: int
    paddle: Path | None
    newest_paddle: Path | None
    skips_paddle: bool


def measure_set(settings: Settings, item: RealSet, plan: Plan) -> dict[str, Any]:
    """Train every student of one teacher, and ours beside each."""
    case, clock = load_case(settings, item), SystemClock()
    seconds = dict(case.seconds)
    states, outcome = _run_paddle(settings, item, case, plan)
    fresh = list_students(case.state, settings.seed)
    speeds = time_states(case, {**states, **fresh})
    for name, student in fresh.items():
        started = clock.monotonic()
        states[name] = _distil(case, student, plan.epochs, settings.seed)
        seconds[name] = clock.monotonic() - started
        say(f"{item.name}: {name}")
    ours: dict[str, State] = {}
    for name, speed in speeds.items():
        started = clock.monotonic()
        ours[name] = _distil(case, _prune(case, speed, settings.seed), plan.epochs, settings.seed)
        seconds[f"ours beside {name}"] = clock.monotonic() - started
        say(f"{item.name}: ours at {speed:.2f}")
    everything = {
        **{(name, name): state for name, state in states.items()},
        **{(OURS, name): state for name, state in ours.items()},
    }
    judged, plain = judge_states(case, everything), time_states(case, everything, "fp32")
    return {
        "engine": f"{ENGINE} {PRECISION}",
        "rows": len(case.sets.test),
        "dense_accuracy": next(iter(judged.values()))["dense_accuracy"],
        "epochs": plan.epochs,
        "seconds": seconds,
        "states": [
            {"method": key[0], "beside": key[1], "measured_fp32": plain[key], **judged[key]}
            for name in speeds
            for key in ((name, name), (OURS, name))
        ],
        "dynabert": outcome,
    }


def list_students(teacher: State, seed: int) -> dict[str, State]:
    """Give the untrained students: presets smaller than the teacher, and its first layers."""
    shape, found = teacher.architecture, {}
    for name, preset in PRESETS.items():
        small = preset.architecture(
            vocab=shape.vocab, positions=shape.positions, classes=shape.classes
        )
        is_smaller = len(small.layers) < len(shape.layers) or small.hidden < shape.hidden
        if not is_smaller or len(small.layers) > len(shape.layers) or small.hidden > shape.hidden:
            continue
        module = draw_encoder(small, np.random.default_rng(seed))
        found[f"{name}, distilled"] = dataclasses.replace(
            teacher, weights=module.weights(), architecture=small
        )
    half = -(-len(shape.layers) // 2)
    found[f"first {half} layers, distilled"] = take_first_layers(teacher, half)
    return found


def take_first_layers(teacher: State, count: int) -> State:
    """Give the teacher without the layers after the first ones."""
    kept = {f"layers.{index}." for index in range(count)}
    weights = {
        name: value
        for name, value in teacher.weights.items()
        if not name.startswith("layers.") or any(name.startswith(each) for each in kept)
    }
    layers = teacher.architecture.layers[:count]
    shape = dataclasses.replace(teacher.architecture, layers=layers)
    return dataclasses.replace(teacher, weights=weights, architecture=shape)


def _run_paddle(
    settings: Settings, item: RealSet, case: Case, plan: Plan
) -> tuple[dict[str, State], Mapping[str, Any]]:
    if plan.skips_paddle:
        return {}, {"absent": "left out with --no-paddle"}
    try:
        states, outcome = compress_with_paddle(
            settings, item, case, epochs=plan.epochs, rate=_RATE, python=plan.paddle
        )
        if plan.newest_paddle is not None:
            outcome["newest"] = record_newest(settings, item, case, plan.newest_paddle)
    except StartError as error:
        say(f"paddle: {error}")
        return {}, {"absent": str(error)}
    return {f"PaddleNLP DynaBERT {width}": state for width, state in states.items()}, outcome


def _prune(case: Case, speedup: float, seed: int) -> State:
    """Cut to a speed, repaired; what is slower than the teacher is given the teacher's budget."""
    target = PruneTarget(budget=case.budget(max(speedup, 1.0)))
    small, _ = case.pruner.prune(target, search=SearchSettings(seed=seed))
    return small


def _distil(case: Case, student: State, epochs: int, seed: int) -> State:
    """Distil the teacher; its last hidden state takes part where the sizes are the same."""
    is_cut = _shares_embedding(student, case.state)
    train, dev = (
        Encoded(batch=part.encode(case.state.tokenizer).batch, targets=part.truth)
        for part in (case.sets.train, case.sets.dev)
    )
    trained, _ = distill(
        student,
        case.state,
        train,
        dev=dev,
        settings=DistillSettings(
            train=TrainSettings(
                epochs=epochs,
                learning_rate=_RATE if is_cut else _FRESH_RATE,
                dropout=0.0,
                seed=seed,
            ),
            hidden_weight=1.0 if is_cut else 0.0,
        ),
        progress=SilentProgress(),
        clock=SystemClock(),
    )
    return trained


def _shares_embedding(one: State, other: State) -> bool:
    name = "embeddings.word.weight"
    return np.array_equal(one.weights[name], other.weights[name])


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    parser = make_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=2, help="of every distillation")
    parser.add_argument("--no-paddle", action="store_true", help="leave PaddleNLP out")
    for name, variable, needs in (
        ("--paddle-python", "BENCH_DYNABERT_PYTHON", "requirements.txt; else one is made"),
        ("--newest-paddle-python", "BENCH_DYNABERT_NEWEST_PYTHON", "requirements-newest.txt"),
    ):
        parser.add_argument(
            name,
            type=Path,
            default=os.environ.get(variable),
            help=f"an interpreter that has peers/paddle_dynabert/{needs}",
        )
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    plan = Plan(
        epochs=arguments.epochs,
        paddle=arguments.paddle_python,
        newest_paddle=arguments.newest_paddle_python,
        skips_paddle=arguments.no_paddle,
    )
    for item in settings.present():
        save(settings, "students", {item.name: measure_set(settings, item, plan)})


if __name__ == "__main__":
    main()
