"""Bodies that are hostile in size and form: refused with 4xx, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from tests.support.serving import Harness, serving

DEEP = 100_000
PATHS = ["/check", "/predict", "/v1/moderations", "/v2/models/bundle/infer"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with serving(tmp_path_factory.mktemp("serve")) as harness:
        yield harness


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "raw",
    [
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"content": "a", "inputs": "a", "input": "a", "x": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    ],
)
def test_json_nested_deep_is_400_in_little_memory(shared: Harness, path: str, raw: bytes) -> None:
    shared.client.post(path, content=raw)
    tracemalloc.start()
    try:
        answer = shared.client.post(path, content=raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 400
    assert peak < 16 * 2**20 + 8 * len(raw)


@pytest.mark.parametrize("path", PATHS)
def test_a_key_twice_and_a_compressed_body_are_refused(shared: Harness, path: str) -> None:
    twice = b'{"content":"a","inputs":"a","input":"a","content":"b","inputs":"b","input":"b"}'
    if "infer" in path:
        twice = (
            b'{"inputs":[{"name":"t","shape":[1],"datatype":"BYTES","data":["a"],"data":["b"]}]}'
        )
    answer = shared.client.post(path, content=twice)
    assert answer.status_code == 400
    assert "twice" in answer.text
    packed = shared.client.post(path, content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert packed.status_code == 415
