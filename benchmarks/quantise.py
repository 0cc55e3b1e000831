"""INT8 by other tools beside ours: the same teacher, text and engines, timed in turn.

`onnxruntime.quantization.quantize_dynamic` and `nncf.quantize`, each with its default settings on
the plain export of the teacher; NNCF a second time with the model type that its documentation
names for transformers. Every form pads a batch to its longest text; ours stands there a second
time as `compress` would ship it.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.compress.state import State
from thinfer.core.clock import SystemClock
from thinfer.core.codec import to_json
from thinfer.core.optional import require
from thinfer.engine.base import Engine, EngineSpec
from thinfer.engine.registry import available_engines, open_engine_folder
from thinfer.export.graph import build_graph
from thinfer.export.write import ExportRequest, write_engine
from thinfer.measure.compare import throughput_ratio
from thinfer.measure.probe import HostProbe
from thinfer.measure.timing import time_interleaved
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.pipeline.data import DataRequest, DataSets, load_sets
from thinfer.pipeline.original import state_of
from thinfer.quality.labels import LabelSet
from thinfer.text.batch import Batch

ORIGINAL = "original, ONNX Runtime FP32"
_CALIBRATION = 300  # texts; NNCF's own default number of samples
_BATCH, _BATCHES = 32, 12

_GRAPH = "model.onnx"
_ONE_PADDING = {"grouping": "none"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """What every form is made from.

    Attributes:
        state: the teacher.
        graph: its plain FP32 export, standard operators, all tokens to the end.
        calibration: token ids of training texts.
    """

    state: State
    graph: bytes
    calibration: Batch


Writer = Callable[[Source, Path], EngineSpec]


def write_original(source: Source, folder: Path) -> EngineSpec:
    """Write the plain export itself."""
    (folder / _GRAPH).write_bytes(source.graph)
    return _onnx("fp32")


def write_dynamic(source: Source, folder: Path) -> EngineSpec:
    """Let ONNX Runtime's own tool quantise it, with nothing set."""
    quantization = require("onnxruntime.quantization")
    logging.getLogger().setLevel(logging.ERROR)  # it advises a pre-processing that shapes forbid
    (folder / "plain.onnx").write_bytes(source.graph)
    quantization.quantize_dynamic(folder / "plain.onnx", folder / _GRAPH)
    (folder / "plain.onnx").unlink()
    return _onnx("int8")


def _nncf_onnx(**options: object) -> Writer:
    """NNCF on the ONNX graph; ONNX Runtime runs it."""

    def write(source: Source, folder: Path) -> EngineSpec:
        onnx, nncf = require("onnx"), require("nncf")
        model = onnx.load_from_string(source.graph)
        read = {item.name for item in model.graph.input}
        quantised = nncf.quantize(model, _samples(source, read), **_to_nncf(options))
        (folder / _GRAPH).write_bytes(quantised.SerializeToString(deterministic=True))
        return _onnx("int8")

    return write


def _nncf_openvino(**options: object) -> Writer:
    """NNCF on OpenVINO's form of the graph; OpenVINO runs it."""

    def write(source: Source, folder: Path) -> EngineSpec:
        openvino, nncf = require("openvino"), require("nncf")
        model = openvino.Core().read_model(source.graph)
        read = {name for port in model.inputs for name in port.names}
        quantised = nncf.quantize(model, _samples(source, read), **_to_nncf(options))
        openvino.save_model(quantised, str(folder / "model.xml"), compress_to_fp16=False)
        return EngineSpec(
            name="openvino",
            precision="int8",
            files=("model.xml", "model.bin"),
            options=_ONE_PADDING,
        )

    return write


def _to_nncf(options: dict[str, object]) -> dict[str, Any]:
    model_type = options.get("model_type")
    return {} if model_type is None else {"model_type": require("nncf").ModelType(model_type)}


def _ours(engine: str, *, is_shipped: bool) -> Writer:
    def write(source: Source, folder: Path) -> EngineSpec:
        request = ExportRequest(
            weights=source.state.weights,
            architecture=source.state.architecture,
            folder=folder,
            pad_id=source.state.pad_id,
            calibration=source.calibration,
        )
        spec = write_engine(engine, "int8", request)
        return spec if is_shipped else replace(spec, options={**spec.options, **_ONE_PADDING})

    return write


FORMS: Mapping[str, Writer] = {
    ORIGINAL: write_original,
    "onnxruntime quantize_dynamic": write_dynamic,
    "nncf.quantize on ONNX": _nncf_onnx(),
    "nncf.quantize on ONNX, transformer": _nncf_onnx(model_type="transformer"),
    "thinfer INT8, ONNX Runtime": _ours("onnxruntime", is_shipped=False),
    "thinfer INT8, ONNX Runtime, as shipped": _ours("onnxruntime", is_shipped=True),
    "nncf.quantize on OpenVINO": _nncf_openvino(),
    "nncf.quantize on OpenVINO, transformer": _nncf_openvino(model_type="transformer"),
    "thinfer INT8, OpenVINO": _ours("openvino", is_shipped=False),
    "thinfer INT8, OpenVINO, as shipped": _ours("openvino", is_shipped=True),
}


def measure_set(settings: Settings, item: RealSet, rounds: int) -> dict[str, Any]:
    """Quantise one teacher in every way; a way that fails is named with its error."""
    state, sets = _load(settings, item)
    rows = np.linspace(0, len(sets.train) - 1, min(_CALIBRATION, len(sets.train))).astype(np.int64)
    source = Source(
        state=state,
        graph=build_graph(
            state.weights, state.architecture, fused=False, first_token_only=False
        ).SerializeToString(deterministic=True),
        calibration=sets.train.encode(state.tokenizer).batch.select(np.unique(rows)),
    )
    absent, failed = available_engines(), []
    with tempfile.TemporaryDirectory(prefix="thinfer-") as root, ExitStack() as stack:
        engines: dict[str, Engine] = {}
        sizes: dict[str, int] = {}
        for number, (name, write) in enumerate(FORMS.items()):
            if "OpenVINO" in name and absent["openvino"]:
                failed.append({"name": name, "reason": absent["openvino"]})
                continue
            say(f"{item.name}: {name}")
            folder = Path(root) / str(number)
            folder.mkdir()
            try:
                spec = write(source, folder)
                engine = open_engine_folder(
                    folder,
                    spec,
                    state.architecture,
                    pad_id=state.pad_id,
                    threads=settings.threads,
                )
            except Exception as error:  # a peer's failure is a result, whatever its class
                if name == ORIGINAL or name.startswith("thinfer"):
                    raise
                failed.append({"name": name, "reason": f"{type(error).__name__}: {error}"[:600]})
                continue
            engines[name] = stack.enter_context(closing(engine))
            sizes[name] = sum((folder / each).stat().st_size for each in spec.files)
        judged = _judge(engines, sets, state)
        ratios = _time(engines, sets.dev.encode(state.tokenizer).batch, settings, rounds)
    return {
        "rows": len(sets.test),
        "calibration": len(source.calibration),
        "forms": [
            {
                "name": name,
                "engine": engines[name].info.name,
                "size_bytes": sizes[name],
                **judged[name],
                **ratios[name],
            }
            for name in engines
        ],
        "failed": failed,
    }


def _load(settings: Settings, item: RealSet) -> tuple[State, DataSets]:
    checkpoint = load_checkpoint(str(settings.teacher(item)))
    parts = {part: settings.file(item, part)[0] for part in ("train", "dev", "test")}
    column = None if settings.limit else item.text_column
    labels = LabelSet(checkpoint.labels, normal=None)
    return state_of(checkpoint), load_sets(DataRequest(**parts, text_column=column), labels)


def _onnx(precision: str) -> EngineSpec:
    return EngineSpec(
        name="onnxruntime",
        precision="int8" if precision == "int8" else "fp32",
        files=(_GRAPH,),
        options=_ONE_PADDING,
    )


def _samples(source: Source, read: set[str]) -> object:
    """Give the calibration texts one by one, as NNCF wants them."""
    nncf = require("nncf")
    nncf.set_log_level(logging.ERROR)
    names = ("input_ids", "attention_mask", "token_type_ids")
    pad_id, batch = source.state.pad_id, source.calibration
    samples = [
        dict(zip(names, batch.select([row]).padded(pad_id), strict=True))
        for row in range(len(batch))
    ]
    return nncf.Dataset([{name: one[name] for name in names if name in read} for one in samples])


def _judge(engines: Mapping[str, Engine], sets: DataSets, state: State) -> dict[str, Any]:
    batch, truth = sets.test.encode(state.tokenizer).batch, sets.test.truth
    answers = {name: _answer(engine, batch) for name, engine in engines.items()}
    first = answers[ORIGINAL]
    return {
        name: {
            "accuracy": float((found == truth).mean()),
            "kept": float((found == truth).sum() / (first == truth).sum()),
            "lost": int(((first == truth) & (found != truth)).sum()),
            "gained": int(((first != truth) & (found == truth)).sum()),
            "agreement": float((found == first).mean()),
        }
        for name, found in answers.items()
    }


def _answer(engine: Engine, batch: Batch) -> NDArray[np.int64]:
    parts = [engine.run(part).argmax(axis=1) for part in _cut(batch, len(batch))]
    return np.concatenate(parts).astype(np.int64)


def _cut(batch: Batch, most: int) -> list[Batch]:
    return [
        batch.select(np.arange(start, min(start + _BATCH, most)))
        for start in range(0, most, _BATCH)
    ]


def _time(
    engines: Mapping[str, Engine], texts: Batch, settings: Settings, rounds: int
) -> dict[str, Any]:
    """Give each form's throughput as a ratio to the original's, without tokenising."""
    batches, clock = _cut(texts, min(len(texts), _BATCH * _BATCHES)), SystemClock()

    def run(engine: Engine) -> None:
        for batch in batches:
            engine.run(batch)

    samples = time_interleaved(
        {name: lambda engine=engine: run(engine) for name, engine in engines.items()},
        rounds=rounds,
        clock=clock,
        probe=HostProbe(threads=settings.threads, clock=clock),
    )
    count = sum(map(len, batches))
    rng = np.random.default_rng(settings.seed)
    return {
        name: {
            "texts_per_second": count / each.median_s,
            "ratio": to_json(throughput_ratio(samples[ORIGINAL], each, rng=rng)),
        }
        for name, each in samples.items()
    }


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    for item in settings.present():
        save(settings, "quantise", {item.name: measure_set(settings, item, arguments.rounds)})


if __name__ == "__main__":
    main()
