"""A small bundle that asks its teacher where it is unsure: share of texts that go on, and quality.

The small one is cut so far that it breaks the floor alone. The threshold comes from `dev`, the
figures are those of `test`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.record import run_tool, save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.bundle import open_bundle

FLOOR = "accuracy>=99.5%"
WIDTH = "1/16"
ROWS = 5000  # of the training text: pruning looks at no more of it


def calibrate_set(settings: Settings, item: RealSet) -> dict[str, Any]:
    """Make both bundles, choose the threshold between them and judge it."""
    folder = settings.work / "cascade" / item.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    big, small = folder / "big", folder / "small"
    run_tool("pack", settings.teacher(item), "--out", big, "--threads", settings.threads)
    _cut(settings, item, small)
    return {**_calibrate(settings, item, small, big, folder / "cascade.json"), "width": WIDTH}


def _cut(settings: Settings, item: RealSet, out: Path) -> None:
    """Prune far below what any floor near the teacher's quality would allow."""
    words: list[object] = [settings.teacher(item)]
    for part in ("train", "dev", "test"):
        path, columns = settings.file(item, part)
        words += [f"--{part}", path]
    words += [*columns, "--floor", "accuracy>=50%", "--out", out, "--threads", settings.threads]
    say(f"{item.name}: cut to {WIDTH}")
    run_tool(
        *("compress", *words, "--widths", WIDTH, "--engine", "onnxruntime"),
        *("--precision", "int8", "--seed", settings.seed),
        may_break=True,
    )


def _calibrate(
    settings: Settings, item: RealSet, small: Path, big: Path, policy: Path
) -> dict[str, Any]:
    words: list[object] = [small, "--to", big]
    for option, part in (("--data", "dev"), ("--test", "test")):
        path, columns = settings.file(item, part)
        words += [option, path]
    say(f"{item.name}: choose the threshold")
    result = run_tool(
        *("calibrate-cascade", *words, *columns, "--floor", FLOOR, "--out", policy),
        *("--threads", settings.threads, "--seed", settings.seed),
        may_break=True,
    )
    sizes = {
        "small_bytes": open_bundle(small).size_bytes(),
        "big_bytes": open_bundle(big).size_bytes(),
    }
    return {**result, **sizes}


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    settings = to_settings(make_parser(__doc__).parse_args())
    for item in settings.present():
        result = calibrate_set(settings, item)
        save(settings, "cascade", {item.name: result})
        say(f"{item.name}: {result['verdict']}, {result['dev']['cloud_share']:.0%} go on")


if __name__ == "__main__":
    main()
