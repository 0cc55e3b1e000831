"""The settings of the PyTorch engine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.support.export_models import (  # noqa: E402
    SHAPES,
    open_tiny,
    random_batch,
    random_weights,
)
from thinfer.bundle import encode_weights  # noqa: E402
from thinfer.engine.base import EngineSpec  # noqa: E402
from thinfer.errors import EngineError  # noqa: E402

SHAPE = SHAPES["uneven"]


def write(folder: Path, **options: str) -> EngineSpec:
    (folder / "weights.safetensors").write_bytes(encode_weights(random_weights(SHAPE)))
    return EngineSpec(
        name="torch", precision="fp32", files=("weights.safetensors",), options=options
    )


def test_a_call_runs_in_as_many_threads_as_asked_for(tmp_path: Path) -> None:
    spec = write(tmp_path)
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            open_tiny(tmp_path, spec, SHAPE, threads=threads).run(random_batch(SHAPE))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_cuda_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    spec = write(tmp_path, device="cuda")
    with pytest.raises(EngineError, match="CUDA device and there is none"):
        open_tiny(tmp_path, spec, SHAPE)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    spec = write(tmp_path)
    with pytest.raises(EngineError, match=r"cannot load 'weights\.safetensors'"):
        open_tiny(tmp_path, spec, SHAPES["even"])


def test_without_torch_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write(tmp_path)
    for name in ("torch", "transformers"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            wanted = EngineSpec(name=name, precision="fp32", files=spec.files)
            with pytest.raises(EngineError, match=r"pip install 'thinfer\[compress\]'"):
                open_tiny(tmp_path, wanted, SHAPE)
