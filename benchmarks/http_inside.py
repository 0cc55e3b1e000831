"""A bundle inside a process of its own, without HTTP: what its engine gives to batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.settings import ROOT

__all__ = ["Inside", "run_inside"]

BATCH = 32
_PROGRAM = """
import json, os, sys, time
cores, threads, bundle, batch = json.loads(sys.argv[1])
os.sched_setaffinity(0, cores)
from thinfer.classifier import Classifier
with Classifier.open(bundle, threads=threads) as classifier:
    texts = json.loads(sys.stdin.readline())
    batches = [texts[at : at + batch] for at in range(0, len(texts), batch)]
    for each in batches:
        classifier.predict(each)
    print("ready", flush=True)
    for line in sys.stdin:
        seconds, count, start = float(line), 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            each = batches[count % len(batches)]
            classifier.predict(each)
            count += 1
        asked = sum(len(batches[at % len(batches)]) for at in range(count))
        print(asked / (time.perf_counter() - start), flush=True)
"""


class Inside:
    """A process that waits to be asked."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self._popen = popen

    def texts_per_second(self, seconds: float) -> float:
        """Run batches one after another for a while, tokenising and scores included."""
        return float(self._ask(str(seconds)))

    def _ask(self, line: str) -> str:
        if self._popen.stdin is None or self._popen.stdout is None:
            message = "the process has no pipes"
            raise RuntimeError(message)
        self._popen.stdin.write(f"{line}\n")
        self._popen.stdin.flush()
        return self._popen.stdout.readline()


@contextmanager
def run_inside(
    bundle: Path, texts: Sequence[str], *, threads: int, cores: Sequence[int]
) -> Iterator[Inside]:
    """Open a bundle in a process on the first of the cores, and end it after the block.

    Args:
        bundle: its folder.
        texts: cut into batches of 32.
        threads: of one call, and cores that it may use.
        cores: all that there are.
    """
    words = json.dumps([list(cores[:threads]), threads, str(bundle), BATCH])
    popen = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        inside = Inside(popen)
        if inside._ask(json.dumps(list(texts))) != "ready\n":
            message = f"{bundle} could not be opened"
            raise RuntimeError(message)
        yield inside
    finally:
        popen.kill()
        popen.wait()
