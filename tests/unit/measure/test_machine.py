from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from thinfer.measure.machine import describe_machine, has_bf16


@pytest.mark.parametrize(
    ("flags", "found", "bf16"),
    [
        ("sse avx2 avx_vnni", ["avx2", "avx_vnni"], False),
        ("avx2 avx512f avx512_bf16 fma", ["avx2", "avx512f", "avx512_bf16"], True),
        ("avx2 amx_int8 amx_bf16", ["avx2", "amx_int8", "amx_bf16"], True),
        ("my_avx2", [], False),
    ],
)
def test_flags_of_the_first_processor(
    tmp_path: Path, flags: str, found: list[str], bf16: bool
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(
        f"processor\t: 0\nmodel name\t: Toy: 3 GHz\nflags\t\t: {flags}\n\n"
        "processor\t: 1\nmodel name\t: Other\nflags\t\t: amx_bf16\n"
    )
    facts = describe_machine(info)
    assert facts["cpu"] == "Toy: 3 GHz"
    assert facts["flags"] == found
    assert has_bf16(info) is bf16


def test_facts_without_a_list_of_processors(tmp_path: Path) -> None:
    facts = describe_machine(tmp_path / "absent")
    assert facts["flags"] == []
    assert facts["cpu"]
    assert facts["cores"] >= 1
    assert facts["memory_bytes"] > 0
    assert "numpy" in facts["libraries"]
    assert json.loads(json.dumps(facts)) == facts
    assert not has_bf16(tmp_path / "absent")


def test_versions_are_read_without_importing() -> None:
    code = (
        "import sys; from thinfer.measure.machine import describe_machine; describe_machine();"
        "print([n for n in ('torch', 'onnx', 'onnxruntime', 'openvino') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
