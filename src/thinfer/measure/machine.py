"""Facts of the machine that a measurement belongs to."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from thinfer.core.cores import usable_cores

__all__ = ["describe_machine", "has_bf16"]

# Instruction sets that decide which kernels an engine picks; AVX-VNNI and AVX512-VNNI multiply
# INT8, the BF16 ones BF16, AMX both.
ISA_FLAGS = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
)
LIBRARIES = (
    "nncf",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "tokenizers",
    "torch",
    "transformers",
)
_CPU_INFO = Path("/proc/cpuinfo")


def describe_machine(cpu_info: Path = _CPU_INFO) -> dict[str, Any]:
    """Give the facts, ready for JSON.

    Args:
        cpu_info: the kernel's list of processors (an argument for the tests).

    Returns:
        `cpu` (model name), `flags` (those of `ISA_FLAGS` that it has), `cores` (usable here),
        `cores_of_host`, `memory_bytes`, `system`, `python`, and `libraries` (name → version of
        those installed; none is imported for it).
    """
    fields = _read_cpu(cpu_info)
    flags = set(fields.get("flags", "").split())
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "flags": [flag for flag in ISA_FLAGS if flag in flags],
        "cores": usable_cores(),
        "cores_of_host": psutil.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": _list_libraries(),
    }


def has_bf16(cpu_info: Path = _CPU_INFO) -> bool:
    """Say whether the processor multiplies BF16 itself; elsewhere BF16 is slower than FP32.

    Args:
        cpu_info: the kernel's list of processors (an argument for the tests).
    """
    flags = set(_read_cpu(cpu_info).get("flags", "").split())
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def _read_cpu(cpu_info: Path) -> dict[str, str]:
    """Give the fields of the first processor; none where the system keeps no such list."""
    try:
        text = cpu_info.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _list_libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
