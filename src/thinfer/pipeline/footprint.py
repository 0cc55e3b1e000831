"""Peak memory of a candidate, measured in a process of its own that does nothing else.

Run as a module by `measure_footprint`: `python -m thinfer.pipeline.footprint FOLDER THREADS`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from thinfer.architecture import Architecture
from thinfer.core.codec import from_json
from thinfer.engine.base import EngineSpec
from thinfer.engine.registry import open_engine_folder
from thinfer.errors import UserError
from thinfer.measure.memory import peak_rss_of
from thinfer.text.tokenizer import Tokenizer

__all__ = ["measure_footprint"]

# One call of 32 texts of middling length: what a service keeps in memory under load.
_TEXTS = ["thin models answer the same 瘦模型给出同样的答案 0123456789 " * 2] * 32


def measure_footprint(folder: Path, threads: int) -> int:
    """Give the peak resident memory of a process that opens a candidate and runs 32 texts.

    Args:
        folder: of the candidate.
        threads: threads of one call.

    Returns:
        Bytes, interpreter included.
    """
    argv = [sys.executable, "-m", "thinfer.pipeline.footprint", str(folder), str(threads)]
    return peak_rss_of(argv)


def _run(folder: Path, threads: int) -> None:
    architecture = from_json(Architecture, json.loads((folder / "architecture.json").read_text()))
    spec = from_json(EngineSpec, json.loads((folder / "spec.json").read_text()))
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    tokenizer = Tokenizer.from_json(text, max_length=architecture.max_length)
    engine = open_engine_folder(
        folder, spec, architecture, pad_id=tokenizer.pad_id, threads=threads
    )
    engine.run(tokenizer.encode(_TEXTS).batch)
    engine.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        what = "this module is started by measure_footprint"
        raise UserError(what, expected="FOLDER THREADS")
    _run(Path(sys.argv[1]), int(sys.argv[2]))
