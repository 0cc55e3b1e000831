import collections
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thinfer.errors import DataError
from thinfer.nn.paddle import read_pdparams


class Poison:
    """A pickle that writes a file when it is loaded by an unguarded reader."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(3, 4)).astype(np.float32)
    state = collections.OrderedDict(
        a=matrix,
        b=("linear_0.w_0", np.asfortranarray(matrix)),
        c=np.arange(3),
        d=matrix.astype(np.float16),
    )
    state["StructuredToParameterName@@"] = {"a": "linear_0"}
    path = tmp_path / "model_state.pdparams"
    path.write_bytes(pickle.dumps(state, protocol=protocol))
    got = read_pdparams(path)
    assert set(got) == {"a", "b", "c", "d"}
    assert {value.dtype for value in got.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(got["a"], matrix)
    np.testing.assert_array_equal(got["b"], matrix)
    np.testing.assert_allclose(got["d"], matrix, atol=1e-2)


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    path = tmp_path / "model_state.pdparams"
    path.write_bytes(pickle.dumps({"a": np.array([0x3F80, 0xC000], dtype=np.uint16)}))
    np.testing.assert_array_equal(read_pdparams(path)["a"], [1.0, -2.0])


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "mark"
    body = pickle.dumps({"a": Poison(f"touch {mark}")}, protocol=protocol)
    path = tmp_path / "model_state.pdparams"
    path.write_bytes(body)
    with pytest.raises(DataError, match="system") as caught:
        read_pdparams(path)
    assert str(path) in str(caught.value)
    assert not mark.exists()
    pickle.loads(body)  # the poison works where nobody guards
    assert mark.exists()


@pytest.mark.parametrize("name", ["builtins eval", "numpy load", "numpy.core.multiarray scalar"])
def test_what_is_not_on_the_list_is_refused(tmp_path: Path, name: str) -> None:
    module, attribute = name.split()
    path = tmp_path / "model_state.pdparams"
    path.write_bytes(f"c{module}\n{attribute}\n(S'1'\ntR.".encode())
    with pytest.raises(DataError, match=attribute):
        read_pdparams(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model_state.pdparams"
    body = pickle.dumps({"a": np.zeros((20, 20), dtype=np.float32)}, protocol=4)
    for length in range(0, len(body) - 1, 37):
        path.write_bytes(body[:length])
        with pytest.raises(DataError, match="damaged"):
            read_pdparams(path)


@pytest.mark.parametrize("content", [[1, 2], {"a": "text"}, {"a": np.array(["x"])}])
def test_other_contents_are_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "model_state.pdparams"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"not a state dict|something else"):
        read_pdparams(path)
