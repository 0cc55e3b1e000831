"""The settings of the OpenVINO engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.export_models import SHAPES, open_tiny, random_batch, random_weights
from thinfer.core.cores import usable_cores
from thinfer.core.optional import is_available, require
from thinfer.engine import openvino as module
from thinfer.engine.base import EngineSpec, Precision
from thinfer.errors import EngineError
from thinfer.export.write import ExportRequest, write_engine

if not (is_available("openvino") and is_available("onnx")):
    pytest.skip("OpenVINO is not installed", allow_module_level=True)

SHAPE = SHAPES["uneven"]


def write(folder: Path, precision: Precision) -> EngineSpec:
    request = ExportRequest(
        weights=random_weights(SHAPE), architecture=SHAPE, folder=folder, pad_id=0
    )
    return write_engine("openvino", precision, request)


@pytest.mark.parametrize(("precision", "kind"), [("fp32", "float"), ("bf16", "bfloat16")])
def test_threads_and_precision_are_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision, kind: str
) -> None:
    asked: list[dict[str, Any]] = []
    made: list[Any] = []
    core = require("openvino").Core

    class Recorder:
        def compile_model(self, *arguments: Any) -> Any:  # noqa: ANN401
            asked.append(arguments[-1])
            made.append(core().compile_model(*arguments))
            return made[-1]

    spec = write(tmp_path, precision)
    monkeypatch.setattr(require("openvino"), "Core", Recorder)
    open_tiny(tmp_path, spec, SHAPE, threads=2)
    (model,) = made
    (settings,) = asked
    assert (settings["INFERENCE_NUM_THREADS"], settings["NUM_STREAMS"]) == (2, 2)
    threads = min(2, usable_cores())  # it takes no more than there are
    assert model.get_property("INFERENCE_NUM_THREADS") == threads
    assert model.get_property("NUM_STREAMS") == threads  # a small model: one for each
    capable = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "fp32" or capable:
        assert kind in str(model.get_property("INFERENCE_PRECISION_HINT"))


def test_one_request_serves_one_caller_after_another(tmp_path: Path) -> None:
    engine = open_tiny(tmp_path, write(tmp_path, "fp32"), SHAPE)
    assert isinstance(engine, module.OpenVinoEngine)
    for seed in range(5):
        engine.run(random_batch(SHAPE, seed=seed))
    assert engine._idle.qsize() == 1


def test_two_threads_may_begin_at_once_in_a_fresh_process(tmp_path: Path) -> None:
    # At the library's very first inference two threads wait for each other for ever; so that one
    # happens while opening, and there is a request at hand before anybody asked.
    engine = open_tiny(tmp_path, write(tmp_path, "fp32"), SHAPE, threads=2)
    assert isinstance(engine, module.OpenVinoEngine)
    assert engine._idle.qsize() == 1
    done = subprocess.run(
        [sys.executable, "-c", _TWO_THREADS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == ["3", "3"], done.stderr


_TWO_THREADS = """
import sys, threading
from pathlib import Path
from tests.support.export_models import SHAPES, open_tiny, random_batch
from thinfer.engine.base import EngineSpec
files = tuple(f"engines/openvino/model.{ending}" for ending in ("xml", "bin"))
spec = EngineSpec(name="openvino", precision="fp32", files=files)
engine = open_tiny(Path(sys.argv[1]), spec, SHAPES["uneven"], threads=2)
together, batch, widths = threading.Barrier(2), random_batch(SHAPES["uneven"]), []
def ask():
    together.wait()
    widths.append(engine.run(batch).shape[1])
threads = [threading.Thread(target=ask) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(*widths)
"""


def test_without_the_library_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write(tmp_path, "fp32")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError, match=r"pip install 'thinfer\[openvino\]'"):
        open_tiny(tmp_path, spec, SHAPE)
    with pytest.raises(EngineError, match=r"pip install 'thinfer\[openvino\]'"):
        module.OpenVinoEngine(tmp_path, spec, SHAPE, pad_id=0, threads=1)
