"""Memory of processes that serve one bundle: the 6 × 768 INT8 model, drawn weights.

Two kinds of process: the engine alone (`Classifier.open` and batches of 32 texts), and `thinfer
serve`. Four of each run at once on the same bundle. `Pss` counts a page that n processes share as
an n-th in each; the mapped weight file has its own line in `/proc/PID/smaps`. Linux only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.engines import draw_model
from benchmarks.launch import start_thinfer
from benchmarks.record import run_tool, save
from benchmarks.settings import ROOT, Settings, make_parser, say, to_settings
from thinfer.nn.save import save_checkpoint

SHAPE = "6 × 768"
PROCESSES = 4
_TEXTS = ["今天天气很好 a quiet day", "0123456789 瘦模型给出同样的答案 " * 6] * 16
_CALLS = 8

# A service in Python of one's own: nothing but the engine, and no model for the first line.
_ALONE = """
import json, sys
from thinfer.classifier import Classifier
print("ready", flush=True)
sys.stdin.readline()
with Classifier.open(sys.argv[1], threads=1) as classifier:
    for _ in range(int(sys.argv[2])):
        classifier.logits(json.loads(sys.argv[3]))
    print("ready", flush=True)
    sys.stdin.readline()
"""


def measure(settings: Settings) -> dict[str, Any]:
    """Pack the model, start the processes, and read what the kernel says of them."""
    with tempfile.TemporaryDirectory(prefix="thinfer-") as root:
        teacher, bundle = Path(root) / "teacher", Path(root) / "bundle"
        save_checkpoint(draw_model(settings, SHAPE), teacher)
        words = (teacher, "--out", bundle, "--engine", "native", "--precision", "int8")
        run_tool("pack", *words, "--threads", 1)
        weights = bundle / "engines" / "native" / "model.thinfer"
        return {
            "shape": SHAPE,
            "weight_file_bytes": weights.stat().st_size,
            "processes": PROCESSES,
            "alone": _measure_alone(bundle, weights),
            "serve": _measure_services(bundle, weights),
        }


def _measure_alone(bundle: Path, weights: Path) -> dict[str, Any]:
    argv = [sys.executable, "-c", _ALONE, str(bundle), str(_CALLS), json.dumps(_TEXTS)]
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(PROCESSES)
        ]
        for process in running:
            _wait_for_line(process)
        before = [_read_memory(process.pid, weights) for process in running]
        for process in running:
            _say_go(process)
            _wait_for_line(process)
        after = [_read_memory(process.pid, weights) for process in running]
        for process in running:
            _say_go(process)
    return {"without_model": before, "with_model": after}


def _measure_services(bundle: Path, weights: Path) -> dict[str, Any]:
    with ExitStack() as stack:
        services = [stack.enter_context(start_thinfer(bundle, threads=1)) for _ in range(PROCESSES)]
        return {"with_model": [_read_memory(item.process.pid, weights) for item in services]}


def _wait_for_line(process: subprocess.Popen[str]) -> None:
    if process.stdout is None or process.stdout.readline() != "ready\n":
        sys.exit("a process ended before it was ready")


def _say_go(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.write("go\n")
        process.stdin.flush()


def _read_memory(pid: int, weights: Path) -> dict[str, int]:
    """Give bytes: peak and present resident memory, Pss, and what of both is the weight file."""
    status = _numbers(Path(f"/proc/{pid}/status").read_text())
    rollup = _numbers(Path(f"/proc/{pid}/smaps_rollup").read_text())
    found = {
        "peak_rss": status["VmHWM"],
        "rss": rollup["Rss"],
        "pss": rollup["Pss"],
        "weights_rss": 0,
        "weights_pss": 0,
    }
    is_weights = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:  # the head of a mapping: its addresses
            is_weights = line.endswith(str(weights))
        elif is_weights and line.startswith(("Rss:", "Pss:")):
            name = f"weights_{line[:3].lower()}"
            found[name] += int(line.split()[1]) * 1024
    return found


def _numbers(text: str) -> dict[str, int]:
    lines = [line.split() for line in text.splitlines() if line.endswith(" kB")]
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}


def main() -> None:
    """Measure once; memory does not depend on how busy the machine is."""
    settings = to_settings(make_parser(__doc__).parse_args())
    found = measure(settings)
    save(settings, "memory", {SHAPE: found})
    say(f"peak of a process with the engine alone: {found['alone']['with_model'][0]['peak_rss']}")


if __name__ == "__main__":
    main()
