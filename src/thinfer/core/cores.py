"""How many cores this process may really use: affinity and cgroup quota, not the host's count."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["usable_cores"]


def usable_cores(cgroup_root: Path = Path("/sys/fs/cgroup")) -> int:
    """Give the number of cores that affinity and the cgroup's CPU quota leave to this process.

    Args:
        cgroup_root: where the cgroup file system is mounted (an argument for the tests).

    Returns:
        At least 1. A quota of a part of a core counts as one core.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = affinity or 1
    quota = _quota_v2(cgroup_root) or _quota_v1(cgroup_root)
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def _quota_v2(root: Path) -> float | None:
    try:
        quota, period = (root / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _quota_v1(root: Path) -> float | None:
    try:
        quota = int((root / "cpu" / "cpu.cfs_quota_us").read_text())
        period = int((root / "cpu" / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
