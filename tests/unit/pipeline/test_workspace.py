import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.support.toy_models import toy_state
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.errors import InternalError, UserError
from thinfer.pipeline.request import CompressRequest, DataRequest
from thinfer.pipeline.workspace import Workspace, keep_array, keep_json


@pytest.fixture
def request_(tmp_path: Path) -> CompressRequest:
    names = ("train", "dev", "test", "more")
    for name in names:
        (tmp_path / f"{name}.csv").write_text(name)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "out.work").mkdir()
    train, dev, test, more = (tmp_path / f"{name}.csv" for name in names)
    return CompressRequest(
        model=str(tmp_path / "model"),
        data=DataRequest(train=train, dev=dev, test=test, unlabelled=more),
        out=tmp_path / "out",
        floors=("accuracy>=99%",),
    )


def resumed(request: CompressRequest, **changes: object) -> Workspace:
    return Workspace(dataclasses.replace(request, resume=True, **changes))  # type: ignore[arg-type]


def test_a_piece_that_stands_there_is_not_made_again(request_: CompressRequest) -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("content")

    place = Workspace(request_).piece("candidates/one", make)
    assert resumed(request_).piece("candidates/one", make) == place
    assert len(made) == 1
    assert (place / "file").read_text() == "content"


def test_a_piece_that_failed_half_way_is_not_there(request_: CompressRequest) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    workspace = Workspace(request_)
    with pytest.raises(KeyboardInterrupt):
        workspace.piece("candidates/one", fail)
    assert not workspace.folder("candidates/one").exists()


@pytest.mark.parametrize("part", ["states", "candidates", "best", "rungs"])
def test_without_resume_the_work_begins_anew(request_: CompressRequest, part: str) -> None:
    place = Workspace(request_).piece(f"{part}/one", lambda folder: None)
    Workspace(request_)
    assert not place.exists()


def test_what_a_killed_run_was_writing_is_swept_away(request_: CompressRequest) -> None:
    Workspace(request_).piece("states/dense", lambda folder: None)
    half = request_.work / "states" / ".dense.staging-abc"
    half.mkdir()
    resumed(request_)
    assert not half.exists()
    assert (request_.work / "states" / "dense").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"floors": ("accuracy>=98%",)},
        {"seed": 1},
        {"retrain": "short"},
        {"threads": 3},
        "train.csv",
        "dev.csv",
        "test.csv",
        "more.csv",
        "model/config.json",
    ],
)
def test_resume_refuses_another_request(
    request_: CompressRequest, tmp_path: Path, change: dict[str, object] | str
) -> None:
    place = Workspace(request_).piece("candidates/one", lambda folder: None)
    changes = change if isinstance(change, dict) else {}
    if isinstance(change, str):
        (tmp_path / change).write_text("other bytes")
    with pytest.raises(UserError, match="holds the work of another command"):
        resumed(request_, **changes)
    assert place.exists()


def test_how_long_and_how_strict_do_not_matter_to_resume(request_: CompressRequest) -> None:
    place = Workspace(request_).piece("candidates/one", lambda folder: None)
    resumed(request_, minutes=5.0, require_proof=True, command="thinfer compress --resume")
    assert place.exists()


def test_a_state_comes_back_as_it_was(request_: CompressRequest) -> None:
    state = toy_state()
    report = StepReport(step="prune", outcome="degraded", reason="narrow", details={"ratio": 0.5})
    state = dataclasses.replace(state, history=(report,))
    Workspace(request_).state("dense", state, lambda: state)

    def never() -> State:
        pytest.fail("it was stored")

    other = dataclasses.replace(state, weights={}, history=())
    back = resumed(request_).state("dense", other, never)
    assert back.architecture == state.architecture
    assert back.history == state.history
    assert back.labels == state.labels
    assert back.max_length == state.max_length
    assert back.tokenizer.to_json() == state.tokenizer.to_json()
    assert back.weights.keys() == state.weights.keys()
    for name, value in state.weights.items():
        np.testing.assert_array_equal(back.weights[name], value)


def test_an_array_is_kept_whole_and_computed_once(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = tmp_path / "a.npy"
    made = [keep_array(path, lambda: values), keep_array(path, lambda: values + 1)]
    for array in made:
        np.testing.assert_array_equal(array, values)
    assert [item.name for item in tmp_path.iterdir()] == ["a.npy"]


def test_a_fact_is_kept_whole_and_computed_once(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert [keep_json(path, lambda: [1, 2]), keep_json(path, lambda: [3])] == [[1, 2], [1, 2]]


@pytest.mark.parametrize("name", ["a.npy", "a.json"])
def test_a_write_that_fails_leaves_nothing_to_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("thinfer.core.files.os.fsync", fail)
    with pytest.raises(InternalError, match="cannot be written"):
        if name.endswith("npy"):
            keep_array(tmp_path / name, lambda: np.zeros(3, dtype=np.float32))
        else:
            keep_json(tmp_path / name, lambda: {"a": 1})
    assert list(tmp_path.iterdir()) == []
