"""Peers give the logits of the model they are made from, whichever weights those are."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="peers need the compress extra")
pytest.importorskip("transformers", reason="peers need the compress extra")

from tests.support.bundles import make_fake_bundle
from tests.support.tiny_checkpoints import KINDS, make_model, save_model
from thinfer.bench.peers import PEERS, open_peer
from thinfer.bench.peers.ctranslate import open_ctranslate2
from thinfer.bench.peers.deepsparse import PYTHON, open_deepsparse
from thinfer.bundle import Bundle
from thinfer.cli.main import main
from thinfer.core.progress import SilentProgress
from thinfer.errors import DataError, EngineError, ThinferError, UserError
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.pack import PackRequest, pack

TEXTS = ["w1 w2 w3", "w9", "w4 w4 w5 w80 w80 w80 w2 unheard"]


@pytest.fixture(params=KINDS)
def teacher(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / "teacher"
    save_model(make_model(request.param), place)
    return place


def pack_it(teacher: Path, place: Path) -> Bundle:
    request = PackRequest(model=str(teacher), out=place, threads=1)
    return pack(request, progress=SilentProgress())[0]


def teacher_kind(teacher: Path) -> str:
    config = json.loads((teacher / "config.json").read_text())
    return str(config["model_type"])


def reference(teacher: Path) -> NDArray[np.float32]:
    checkpoint = load_checkpoint(teacher)
    batch = checkpoint.tokenizer.encode(TEXTS).batch
    return compute_logits(checkpoint.model, batch, pad_id=checkpoint.tokenizer.pad_id)


# What rounding may cost on logits of these small models; what is calibrated on drawn ids only runs.
BOUNDS = {"fp32": 1e-4, "bf16": 0.1, "int8": 0.6}


def why_absent(name: str) -> str | None:
    """Give the reason why a peer cannot be opened here, if there is one."""
    if name == "deepsparse" and PYTHON not in os.environ:
        return f"{PYTHON} names no interpreter that has DeepSparse"
    if name == "torch-compile" and shutil.which("c++") is None:
        return "torch.compile wants a C++ compiler"
    library = name.partition("-")[0]
    if library in ("ctranslate2", "openvino") and find_spec(library) is None:
        return f"{library} is not installed"
    return None


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_answers_as_the_model_does(name: str, teacher: Path, tmp_path: Path) -> None:
    absent = why_absent(name)
    if absent:
        pytest.skip(absent)
    if name == "ctranslate2" and "roberta" in teacher_kind(teacher):
        pytest.skip("CTranslate2 gets no RoBERTa model")
    bundle = pack_it(teacher, tmp_path / "bundle")
    wanted = reference(teacher)
    for number, wish in enumerate((name, f"{name}:{teacher}")):
        folder = tmp_path / str(number)
        folder.mkdir()
        peer = open_peer(wish, bundle=bundle, folder=folder, threads=1)
        assert (peer.name, peer.threads) == (wish, 1)
        got = cast("NDArray[np.float32]", peer.run(TEXTS))
        peer.close()
        assert got.shape == wanted.shape
        if name != "openvino-int8":
            assert np.abs(got - wanted).max() < BOUNDS[peer.precision]


def test_uneven_widths_run_in_onnx_runtime_and_not_in_transformers(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")  # its second layer has no attention
    with pytest.raises(DataError, match="Hugging Face"):
        open_peer("transformers", bundle=bundle, folder=tmp_path, threads=1)
    folder = tmp_path / "peer"
    folder.mkdir()
    peer = open_peer("onnxruntime", bundle=bundle, folder=folder, threads=1)
    assert cast("NDArray[np.float32]", peer.run(["abc", "你好"])).shape == (2, 3)
    peer.close()


@pytest.mark.parametrize(
    ("wish", "kind"), [("tensorrt", UserError), ("transformers:nowhere/at/all", ThinferError)]
)
def test_an_unknown_peer_or_place_is_refused(
    wish: str, kind: type[ThinferError], tmp_path: Path
) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    with pytest.raises(kind):
        open_peer(wish, bundle=bundle, folder=tmp_path, threads=1)


def test_a_row_of_the_table_is_all_that_a_peer_needs() -> None:
    assert {field.name for field in dataclasses.fields(PEERS["transformers"])} == {"help", "open"}


def test_deepsparse_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_model(make_model("bert"), tmp_path / "teacher")
    checkpoint = load_checkpoint(tmp_path / "teacher")
    monkeypatch.delenv(PYTHON, raising=False)
    with pytest.raises(EngineError, match=PYTHON):
        open_deepsparse(checkpoint, tmp_path, 1)
    monkeypatch.setenv(PYTHON, str(tmp_path / "nothing"))
    with pytest.raises(EngineError, match="does not start"):
        open_deepsparse(checkpoint, tmp_path, 1)
    monkeypatch.setenv(PYTHON, "/bin/false")
    with pytest.raises(EngineError, match="exit status 1"):
        open_deepsparse(checkpoint, tmp_path, 1)


def test_ctranslate2_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_model(make_model("bert"), tmp_path / "teacher")
    checkpoint = load_checkpoint(tmp_path / "teacher")
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(EngineError, match=r"thinfer\[peers\]"):
        open_ctranslate2(checkpoint, tmp_path, 1)


def test_the_command_line_names_every_peer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "500")  # no name is broken at its hyphen
    assert main(["bench", "--help"]) == 0
    said = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    assert all(re.search(rf"{name}[,.]", said) for name in PEERS)
