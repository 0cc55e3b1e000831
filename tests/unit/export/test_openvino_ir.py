"""OpenVINO's files: the same bytes each time, the precisions they hold, and no side effects."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.export_models import layer, random_batch, random_weights, shape_of
from thinfer.core.optional import is_available
from thinfer.engine.base import Precision
from thinfer.export.write import ExportRequest, write_engine

if not all(map(is_available, ("onnx", "openvino", "nncf"))):
    pytest.skip("OpenVINO is not installed", allow_module_level=True)

SHAPE = shape_of(layer(2, 8, 8, 64), hidden=32, vocab=500)


def write(folder: Path, precision: Precision, kept: tuple[str, ...] = ()) -> tuple[bytes, bytes]:
    folder.mkdir()
    request = ExportRequest(
        weights=random_weights(SHAPE),
        architecture=SHAPE,
        folder=folder,
        pad_id=0,
        calibration=random_batch(SHAPE, (1, 20, 7, 5)),
        kept_fp32=kept,
    )
    spec = write_engine("openvino", precision, request)
    graph, weights = ((folder / name).read_bytes() for name in spec.files)
    return graph, weights


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, bytes]]:
    root = tmp_path_factory.mktemp("ir")
    return {kind: write(root / kind, kind) for kind in ("fp32", "bf16", "int8")}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_same_weights_give_the_same_bytes(
    first: dict[str, tuple[bytes, bytes]], tmp_path: Path, precision: Precision
) -> None:
    assert write(tmp_path / "again", precision) == first[precision]


def test_each_precision_holds_what_it_says(first: dict[str, tuple[bytes, bytes]]) -> None:
    sizes = {kind: len(weights) for kind, (_, weights) in first.items()}
    assert sizes["bf16"] / sizes["fp32"] == pytest.approx(0.5, abs=0.03)
    assert sizes["int8"] / sizes["fp32"] < 0.35
    assert b'element_type="f16"' in first["bf16"][0]
    assert b'element_type="f16"' not in first["fp32"][0]
    codes = re.findall(rb'element_type="i8" shape="([0-9, ]+)"', first["int8"][0])
    assert b"500, 32" in codes  # the word embedding
    assert len(codes) >= 1 + 6  # and query, key, value, output, up, down


def test_kept_blocks_keep_float_matrices(
    first: dict[str, tuple[bytes, bytes]], tmp_path: Path
) -> None:
    kept = ("embeddings", "layers.0.ffn")
    graph, _ = write(tmp_path / "kept", "int8", kept)

    def matrices(text: bytes, kind: bytes) -> set[bytes]:
        return set(re.findall(rb'element_type="%s" shape="([0-9]+, [0-9]+)"' % kind, text))

    blocks = {b"500, 32", b"64, 32", b"32, 64"}
    assert matrices(first["int8"][0], b"i8") >= blocks
    assert not matrices(graph, b"i8") & blocks
    assert matrices(graph, b"i8") >= {b"16, 32", b"32, 16", b"32, 32"}  # heads and pooler
    assert matrices(graph, b"f32") >= blocks
    assert write(tmp_path / "none", "int8", ()) == first["int8"]


def test_a_file_names_no_place_on_this_machine(first: dict[str, tuple[bytes, bytes]]) -> None:
    for graph, _ in first.values():
        assert b"/home" not in graph
        assert str(Path.cwd()).encode() not in graph


_SCRIPT = """
import sys
from pathlib import Path
from tests.support.export_models import layer, random_batch, random_weights, shape_of
from thinfer.export.write import ExportRequest, write_engine
shape = shape_of(layer(2, 8, 8, 64), hidden=32, vocab=500)
texts = random_batch(shape, (1, 20, 7, 5))
for precision in ("fp32", "int8"):
    folder = Path(sys.argv[1]) / precision
    folder.mkdir()
    write_engine("openvino", precision, ExportRequest(
        weights=random_weights(shape), architecture=shape, folder=folder, pad_id=0,
        calibration=texts))
sent = [name for name in sys.modules if name.startswith("openvino_telemetry.")]
raise SystemExit(f"telemetry was loaded: {sent}" if sent else 0)
"""


def test_writing_prints_nothing_and_tells_nobody(
    first: dict[str, tuple[bytes, bytes]], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(home)},
        cwd=Path(__file__).parents[3],
    )
    assert (done.returncode, done.stderr[-500:]) == (0, "")
    assert done.stdout == ""
    assert not (home / "intel").exists()
    for kind in ("fp32", "int8"):  # another process writes the same bytes too
        folder = tmp_path / kind / "engines" / "openvino"
        got = tuple((folder / f"model.{ending}").read_bytes() for ending in ("xml", "bin"))
        assert got == first[kind]
