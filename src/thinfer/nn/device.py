"""Where to train and in which precision."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["choose_device", "has_fast_bf16", "wants_bf16"]

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def choose_device(wanted: str) -> torch.device:
    """Give the device for `auto`, `cpu` or `cuda`; `auto` takes CUDA where there is one."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def has_fast_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Say whether this CPU multiplies BF16 in hardware.

    Args:
        cpuinfo: the kernel's description of the CPU (an argument for the tests).
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _BF16_FLAGS.isdisjoint(flags.split())


def wants_bf16(precision: str, device: torch.device) -> bool:
    """Say whether to train in BF16.

    Args:
        precision: `bf16`, `fp32`, or `auto`: BF16 where the device is fast at it.
        device: where the training runs.
    """
    if precision != "auto":
        return precision == "bf16"
    return device.type == "cuda" or has_fast_bf16()
