"""Results on disk: one JSON file a benchmark, with machine facts and no path of this machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import thinfer
from benchmarks.settings import DATA, ROOT, Settings, say
from thinfer.core.codec import to_json
from thinfer.core.files import write_atomic
from thinfer.measure.machine import describe_machine

_INSTALLED = re.compile(r"[^\s\"']*/site-packages/")
_QUALITY_EXIT = 4  # the verdict is bad, the result is whole


def save(settings: Settings, name: str, results: Mapping[str, Any]) -> Path:
    """Write `results/NAME.json`.

    Where the file holds other sets already, they stay: sets can be run one after another, and
    those of a machine with a tag stand beside the others.
    """
    target = settings.results / f"{name}.json"
    older: dict[str, Any] = {}
    if target.is_file():
        older = json.loads(target.read_text(encoding="utf-8")).get("results", {})
    stamped = {
        key if settings.tag is None else f"{key}, {settings.tag}": {
            **to_json(value),
            "machine": describe_machine(),
            "threads": settings.threads,
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "thinfer": thinfer.__version__,
            "limit": settings.limit,
        }
        for key, value in results.items()
    }
    body = {"benchmark": name, "results": {**older, **stamped}}
    text = json.dumps(body, ensure_ascii=False, indent=1, default=str)
    settings.results.mkdir(parents=True, exist_ok=True)
    write_atomic(target, _without_places(text, settings) + "\n")
    say(f"written: {target}")
    return target


def run_tool(*words: object, may_break: bool = False) -> dict[str, Any]:
    """Run `thinfer … --json` as a user would and give its result."""
    argv = [sys.executable, "-m", "thinfer", *map(str, words)]
    done = subprocess.run([*argv, "--json"], stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode and not (may_break and done.returncode == _QUALITY_EXIT):
        sys.exit(f"thinfer {words[0]} ended with {done.returncode}: {_shown(argv)}")
    body: dict[str, Any] = json.loads(done.stdout)
    return {**body, "exit_code": done.returncode}


def _shown(argv: Sequence[str]) -> str:
    return " ".join(argv[2:])


def _without_places(text: str, settings: Settings) -> str:
    places = {
        settings.models: "benchmarks/models",
        settings.work: "benchmarks/bundles",
        DATA: "../shared/data",
        ROOT: ".",
        Path(sys.prefix): "venv",
        Path(tempfile.gettempdir()): "temporary",
    }
    for place, name in sorted(places.items(), key=lambda item: -len(str(item[0]))):
        text = text.replace(str(place), name)
    return _INSTALLED.sub("site-packages/", text)  # of a peer's own environment
