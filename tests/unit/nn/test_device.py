from pathlib import Path

import pytest
import torch

from thinfer.nn.device import choose_device, has_fast_bf16, wants_bf16


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx2 avx512_bf16x", False)],
)
def test_flags_decide(tmp_path: Path, flags: str, expected: bool) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n")
    assert has_fast_bf16(path) is expected


def test_no_cpuinfo_means_no(tmp_path: Path) -> None:
    assert not has_fast_bf16(tmp_path / "absent")


def test_what_is_asked_for_wins() -> None:
    cpu = torch.device("cpu")
    assert wants_bf16("bf16", cpu)
    assert not wants_bf16("fp32", torch.device("cuda"))
    assert wants_bf16("auto", torch.device("cuda"))
    assert wants_bf16("auto", cpu) == has_fast_bf16()
    assert choose_device("cpu") == cpu
