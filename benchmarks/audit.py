"""An audit of a compressed bundle on test rows whose labels are kept from it until the end.

Half of the test rows of a set are traffic without labels; the other half is the labelled file that
the precision of the original is measured on. No row stands in the training or dev file. What the
audit asks to be labelled is labelled from the data set, in its own files, as a person would.
"""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compress_sets import bundle_of
from benchmarks.record import run_tool, save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings, write_rows
from thinfer.bundle import open_bundle
from thinfer.core.codec import to_json
from thinfer.quality import LabelSet, judge, parse_floor
from thinfer.text.corpus import Corpus
from thinfer.text.splits import find_leaks, without

NORMAL = {"cold": "0"}  # sets with a label that is no finding
FLAGGED = tuple(f"flagged_recall>={share}%" for share in ("99.5", "99", "98", "95"))
ACCURACY = tuple(f"accuracy>={share}%" for share in ("99.5", "99", "98"))
# what → floors and options
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "flagged recall": (FLAGGED, ()),
    "flagged recall, 50 agreed rows": (FLAGGED, ("--sample", "50")),
    "accuracy": (ACCURACY, ()),
}


def split_test(settings: Settings, item: RealSet) -> tuple[Corpus, Corpus]:
    """Give the traffic and the labelled file: every other test row that stands nowhere else."""
    test = settings.corpus(item, "test")
    for part in ("train", "dev"):
        test = without(test, find_leaks(settings.corpus(item, part), test).rows)
    return test.select(range(0, len(test), 2)), test.select(range(1, len(test), 2))


def run_case(
    settings: Settings, item: RealSet, bundle: Path, traffic: Corpus, test: Path, name: str
) -> dict[str, Any]:
    """Run an audit without labels, then with those that it asked for, then with all."""
    floors, options = CASES[name]
    folder = test.with_name(name.replace(" ", "-").replace(",", ""))
    shutil.rmtree(folder, ignore_errors=True)
    hidden = folder.with_suffix(".jsonl")
    write_rows(hidden, replace(traffic, labels=None, digest=""))
    words = [word for floor in floors for word in ("--floor", floor)]
    say(f"{item.name}, {name}: answer and bound")
    bound = run_tool(
        *("audit", settings.teacher(item), bundle, "--traffic", hidden, "--test", test),
        *("--normal-label", NORMAL[item.name], *words, *options, "--out", folder),
        *("--threads", settings.threads, "--seed", settings.seed),
        may_break=True,
    )
    label_sheet(folder, traffic)
    say(f"{item.name}, {name}: judge")
    done = ("audit", "--labels", folder / "labelled.csv", "--out", folder)
    judged = run_tool(*done, may_break=True)
    whole = judge_whole(folder, traffic, floors, NORMAL[item.name])
    return {
        "rows": bound["rows"],
        "agreement": bound["agreement"],
        "labelling": {key: judged["labelling"][key] for key in ("rows", "changed", "agreed")},
        "floors": [
            {"without": first, "labelled": second, "whole": third}
            for first, second, third in zip(bound["floors"], judged["floors"], whole, strict=True)
        ],
    }


def label_sheet(folder: Path, traffic: Corpus) -> None:
    """Fill in the labels that the data set has kept to itself."""
    key = json.loads((folder / "key.json").read_text(encoding="utf-8"))
    rows = {each["id"]: each["row"] for each in key["rows"]}
    truth = traffic.labels or ()
    with (folder / "to_label.csv").open(encoding="utf-8-sig", newline="") as stream:
        sheet = list(csv.DictReader(stream))
    with (folder / "labelled.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["id", "text", "label"])
        writer.writeheader()
        writer.writerows({**row, "label": truth[rows[row["id"]]]} for row in sheet)


def judge_whole(
    folder: Path, traffic: Corpus, floors: tuple[str, ...], normal: str
) -> list[dict[str, Any]]:
    """Judge the same answers with the label of every row."""
    facts = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    labels = LabelSet(tuple(facts["labels"]), normal=normal)
    parts = [np.load(path) for path in sorted((folder / "answers").glob("*.npy"))]
    first, second = np.concatenate(parts, axis=1)
    truth = labels.align(traffic.labels or ())
    verdicts = [
        judge(
            parse_floor(expr, labels),
            truth=truth,
            original=first,
            candidate=second,
            labels=labels,
            rng=np.random.default_rng(0),
        )
        for expr in floors
    ]
    return [to_json(verdict) for verdict in verdicts]


def main() -> None:
    """Run it for every set with a normal label whose data, teacher and bundle are here."""
    parser = make_parser(__doc__)
    parser.add_argument("--form", default="all", help="which bundle of compress_sets")
    parser.add_argument("--bundle", type=Path, help="another bundle, of the one set in --sets")
    parser.add_argument("--name", default="", help="what to call that bundle's results")
    parser.add_argument("--cases", default=";".join(CASES), help="some of " + "; ".join(CASES))
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    for item in settings.present():
        bundle = arguments.bundle or bundle_of(settings, item, arguments.form)
        if item.name not in NORMAL or not (bundle / "manifest.json").is_file():
            say(f"{item.name}: left out, no normal label or no bundle at {bundle}")
            continue
        traffic, other = split_test(settings, item)
        test = settings.work / "audit" / item.name / "test.jsonl"
        write_rows(test, other)
        manifest = open_bundle(bundle).manifest
        about = {"engine": manifest.chosen.name, "precision": manifest.chosen.precision}
        named = ", ".join(filter(None, (item.name, arguments.name)))
        for name in arguments.cases.split(";"):
            found = run_case(settings, item, bundle.resolve(), traffic, test, name)
            key = f"{named}, {name}"
            save(settings, "audit", {key: {**found, "bundle": about, "test_rows": len(other)}})


if __name__ == "__main__":
    main()
