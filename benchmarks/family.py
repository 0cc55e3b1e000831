"""One family of five ratios: how long it takes and what memory it needs, for two model sizes.

The weights are drawn, not trained: time and memory are those of the shape and of the texts, and
no accuracy is quoted. Each size runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import Any

from benchmarks.prune_case import find_sets, make_case
from benchmarks.prune_methods import ours
from benchmarks.record import save
from benchmarks.settings import ROOT, RealSet, Settings, make_parser, say, to_settings
from thinfer.compress.prune import PruneSettings
from thinfer.core.clock import SystemClock
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.presets import build_preset
from thinfer.pipeline.cutter import SEARCH_BELOW
from thinfer.pipeline.original import state_of

SPEEDUPS = (1.25, 1.5, 2.0, 3.0, 4.0)
SIZES = ("ernie-3.0-mini", "ernie-3.0-base")


def measure_size(settings: Settings, item: RealSet, preset: str) -> dict[str, Any]:
    """Build ladders and prices, then prune to every ratio; in this process."""
    clock = SystemClock()
    teacher = load_checkpoint(str(settings.teacher(item)))
    fresh = build_preset(
        preset,
        tokenizer=teacher.tokenizer,
        labels=teacher.labels,
        max_length=teacher.max_length,
        seed=settings.seed,
    )
    before = _peak_bytes()
    started = clock.monotonic()
    case = make_case(settings, state_of(fresh), find_sets(settings, item, teacher.labels))
    seconds = dict(case.seconds)
    after_ladders = _peak_bytes()
    for speedup in SPEEDUPS:
        begun = clock.monotonic()
        # As compress does: a wide model is cut without a search.
        is_tight = case.budget(speedup) < SEARCH_BELOW * case.price
        ours(case, speedup, settings.seed, evaluations=32 if is_tight else 1)
        seconds[f"to {speedup:g}"] = clock.monotonic() - begun
    shape = fresh.architecture
    tokens = int(case.calibration.select(case.ladders.rows).lengths.sum())
    return {
        "size": f"{len(shape.layers)} × {shape.hidden}",
        "calibration_tokens": tokens,
        "most_calibration_tokens": PruneSettings().max_tokens,
        "seconds": seconds,
        "total_seconds": clock.monotonic() - started,
        "bytes_before": before,
        "bytes_ladders": after_ladders,
        "bytes_peak": _peak_bytes(),
    }


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Run every size in a process of its own."""
    parser = make_parser(__doc__)
    parser.add_argument("--size", choices=SIZES, help="one size, in this process, result on stdout")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    item = settings.present()[0]
    if arguments.size:
        print(json.dumps(measure_size(settings, item, arguments.size)))
        return
    for size in SIZES:
        argv = [sys.executable, "-m", "benchmarks.family", *sys.argv[1:], "--size", size]
        done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout)
        save(settings, "family", {size: found})
        say(f"{size}: {found['total_seconds']:.0f} s, {found['bytes_peak'] / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
