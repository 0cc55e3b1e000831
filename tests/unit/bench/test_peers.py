"""Peers give the logits of the model they are made from, whichever weights those are."""

from __future__ import annotations

import dataclasses
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
from thinfer.bundle import Bundle
from thinfer.core.progress import SilentProgress
from thinfer.errors import DataError, ThinferError, UserError
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


def reference(teacher: Path) -> NDArray[np.float32]:
    checkpoint = load_checkpoint(teacher)
    batch = checkpoint.tokenizer.encode(TEXTS).batch
    return compute_logits(checkpoint.model, batch, pad_id=checkpoint.tokenizer.pad_id)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_answers_as_the_model_does(name: str, teacher: Path, tmp_path: Path) -> None:
    bundle = pack_it(teacher, tmp_path / "bundle")
    wanted = reference(teacher)
    for number, wish in enumerate((name, f"{name}:{teacher}")):
        folder = tmp_path / str(number)
        folder.mkdir()
        peer = open_peer(wish, bundle=bundle, folder=folder, threads=1)
        assert (peer.name, peer.precision, peer.threads) == (wish, "fp32", 1)
        got = cast("NDArray[np.float32]", peer.run(TEXTS))
        peer.close()
        assert np.abs(got - wanted).max() < 1e-4


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
    assert {field.name for field in dataclasses.fields(PEERS["transformers"])} == {"help", "write"}
