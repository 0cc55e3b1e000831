"""What a candidate's facts say of its zeros, and that an export which lost some is refused."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.toy_models import toy_batch, toy_state
from thinfer.compress.sparsify import SparsifySettings, sparsify
from thinfer.compress.state import State
from thinfer.engine.base import EngineSpec
from thinfer.errors import InternalError
from thinfer.export.write import ExportRequest, write_engine
from thinfer.pipeline.candidate import Candidate, Form
from thinfer.pipeline.sparsity import describe_sparsity


def sparse() -> State:
    settings = SparsifySettings(sparsity=0.5, method="magnitude")
    return sparsify(toy_state(), toy_batch(3), settings, rng=np.random.default_rng(0))[0]


def candidate(folder: Path, state: State, written: State | None = None) -> Candidate:
    state_on_disk = written or state
    request = ExportRequest(
        weights=state_on_disk.weights, architecture=state.architecture, folder=folder, pad_id=0
    )
    spec = write_engine("onnxruntime", "fp32", request)
    form = Form(state="recipe", engine="onnxruntime", precision="fp32")
    return Candidate(form=form, state=state, spec=spec, folder=folder)


def test_a_sparse_candidate_says_all(tmp_path: Path) -> None:
    said = describe_sparsity(candidate(tmp_path, sparse()))
    assert said is not None
    assert said["share"] == 0.5
    assert said["zeros"] == said["file_zeros"]
    assert (said["pattern"], said["method"]) == ("unstructured", "magnitude")


def test_a_dense_candidate_says_nothing(tmp_path: Path) -> None:
    assert describe_sparsity(candidate(tmp_path, toy_state())) is None


def test_a_file_that_lost_zeros_is_refused(tmp_path: Path) -> None:
    broken = candidate(tmp_path, sparse(), written=toy_state())
    with pytest.raises(InternalError, match="did not keep the zeros"):
        describe_sparsity(broken)


def test_a_candidate_that_could_not_be_made_has_no_file(tmp_path: Path) -> None:
    form = Form(state="recipe", engine="onnxruntime", precision="int8")
    spec = EngineSpec(name="onnxruntime", precision="int8", files=())
    said = describe_sparsity(Candidate(form=form, state=sparse(), spec=spec, folder=tmp_path))
    assert said is not None
    assert said["file_zeros"] is None
