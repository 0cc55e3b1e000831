"""Small bundles that ask their teacher where they are unsure, and a gate before the teacher.

A small bundle is cut far, which breaks the floor unless it is retrained (`--retrain`). The gate
reads hashed n-grams, and is tried where few texts are flagged. Thresholds come from `dev`, the
figures are those of `test`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import run_tool, save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings, write_rows
from thinfer.bundle import open_bundle
from thinfer.text.corpus import Corpus

FLOOR = "accuracy>=99.5%"
WIDTHS = "1/32,1/16"
NORMAL = {"cold": "0"}  # sets with a label that is no finding
FLAGGED = 0.03
GATE_FLOORS = ("flagged_recall>=95%", "flag_rate<=105%")
KNOWN = ("1", "1,2")  # characters of the n-grams that must all be known


def pack_teacher(settings: Settings, item: RealSet) -> Path:
    """Make the bundle that is asked."""
    out = settings.work / "cascade" / item.name / "big"
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir(parents=True)
    run_tool("pack", settings.teacher(item), "--out", out, "--threads", settings.threads)
    return out


def calibrate_small(
    settings: Settings, item: RealSet, big: Path, width: str, *, retrain: str | None = None
) -> dict[str, Any]:
    """Cut the teacher below the floor, choose the threshold and judge it."""
    out = big.with_name(f"small-{width.replace('/', '-')}")
    words: list[object] = [settings.teacher(item)]
    data: list[object] = []
    for part in ("train", "dev", "test"):
        path, columns = settings.file(item, part)
        words += [f"--{part}", path]
        data += {"dev": ["--data", path], "test": ["--test", path]}.get(part, [])
    words += [*columns, "--floor", "accuracy>=50%", "--out", out, "--threads", settings.threads]
    say(f"{item.name}: cut to {width}")
    cut = run_tool(
        *("compress", *words, "--widths", width, "--engine", "onnxruntime"),
        *("--precision", "int8", "--seed", settings.seed),
        *([] if retrain is None else ["--retrain", retrain]),
        may_break=True,
    )
    found = _calibrate(settings, out, big, *data, *columns, "--floor", FLOOR)
    return {**found, "small_speedup": cut["speedup"]}


def calibrate_gate(settings: Settings, item: RealSet, big: Path, known: str) -> dict[str, Any]:
    """Fit a gate on the training text, and choose and judge where few texts are flagged."""
    out = big.with_name(f"gate-{known.replace(',', '-')}")
    path, columns = settings.file(item, "train")
    words = (big, "--train", path, *columns[:2], "--out", out, "--known", known)
    say(f"{item.name}: gate, {known}")
    fitted = run_tool("fit-gate", *words, "--threads", settings.threads, "--seed", settings.seed)
    normal = NORMAL[item.name]
    data: list[object] = ["--normal-label", normal]
    rng = np.random.default_rng(settings.seed)
    for option, part in (("--data", "dev"), ("--test", "test")):
        place = big.with_name(f"{part}.jsonl")
        write_rows(place, thin_out(settings.corpus(item, part), normal, rng))
        data += [option, place]
    for floor in GATE_FLOORS:
        data += ["--floor", floor]
    return {**_calibrate(settings, out, big, *data), "known": known, "trained": fitted["n"]}


def thin_out(corpus: Corpus, normal: str, rng: np.random.Generator) -> Corpus:
    """Leave so many flagged rows that they are three in a hundred; the others all stay."""
    labels = np.asarray(corpus.labels)
    others, flagged = np.flatnonzero(labels == normal), np.flatnonzero(labels != normal)
    count = min(len(flagged), round(len(others) * FLAGGED / (1 - FLAGGED)))
    kept = np.sort(np.concatenate([others, rng.permutation(flagged)[:count]]))
    return corpus.select(kept.tolist())


def _calibrate(settings: Settings, small: Path, big: Path, *words: object) -> dict[str, Any]:
    say(f"{small.name}: choose the threshold")
    result = run_tool(
        *("calibrate-cascade", small, "--to", big, *words),
        *("--out", big.with_name(f"{small.name}.json")),
        *("--threads", settings.threads, "--seed", settings.seed),
        may_break=True,
    )
    own = open_bundle(small).size_bytes() if small.is_dir() else small.stat().st_size
    return {**result, "small_bytes": own, "big_bytes": open_bundle(big).size_bytes()}


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    parser = make_parser(__doc__)
    parser.add_argument("--widths", default=WIDTHS, help="shares of the encoder that stay")
    parser.add_argument("--retrain", choices=("short", "full"), help="of the small models")
    parser.add_argument("--no-gate", action="store_true", help="small models alone")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    for item in settings.present():
        big = pack_teacher(settings, item)
        ending = "" if arguments.retrain is None else f", retrained {arguments.retrain}"
        found = {
            f"{item.name}, cut to {width}{ending}": calibrate_small(
                settings, item, big, width, retrain=arguments.retrain
            )
            for width in arguments.widths.split(",")
        }
        if item.name in NORMAL and not arguments.no_gate:
            for known in KNOWN:
                name = f"{item.name}, 3 % flagged, gate that knows n-grams of {known}"
                found[name] = calibrate_gate(settings, item, big, known)
        save(settings, "cascade", found)
        for name, result in found.items():
            say(f"{name}: {result['verdict']}, {result['dev']['cloud_share']:.0%} go on")


if __name__ == "__main__":
    main()
