"""The same command twice: equal content digests, where seed and latency table are the same.

The first run measures the table and keeps it, the second reads it. What is timed afterwards differs
from run to run, so one engine, one precision and one speed-up are named: nothing is left for the
clock to choose.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

from benchmarks.record import run_tool, save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings

FLOOR = "accuracy>=98%"  # one that the pruned form clears, so that it is what is repeated
SPEEDUP = "1.5"


def measure_set(settings: Settings, item: RealSet) -> dict[str, Any]:
    """Compress one teacher twice and give the digests."""
    place = settings.work / "repeat" / item.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    words: list[object] = [settings.teacher(item)]
    for part in ("train", "dev", "test"):
        path, columns = settings.file(item, part)
        words += [f"--{part}", path]
    words += [*columns, "--floor", FLOOR, "--threads", settings.threads, "--seed", settings.seed]
    words += ["--engine", "onnxruntime", "--precision", "int8", "--speedups", SPEEDUP]
    words += ["--latency-table", place / "prices.json"]
    digests, names = [], []
    for run in ("first", "second"):
        say(f"{item.name}: {run} run")
        result = run_tool("compress", *words, "--out", place / run, may_break=True)
        manifest = json.loads((place / run / "manifest.json").read_text(encoding="utf-8"))
        digests.append(manifest["content_digest"])
        names.append(result["chosen"]["name"])
    return {"speedup": SPEEDUP, "chosen": names, "digests": digests}


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    settings = to_settings(make_parser(__doc__).parse_args())
    for item in settings.present():
        found = measure_set(settings, item)
        save(settings, "repeat", {item.name: found})
        say(f"{item.name}: {' '.join(found['digests'])}")


if __name__ == "__main__":
    main()
