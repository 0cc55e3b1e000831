"""How many cores this process may really use: affinity and cgroup quota, not the host's count."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["usable_cores"]


def usable_cores(
    cgroup_root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int:
    """Give the number of cores that affinity and the cgroup's CPU quota leave to this process.

    A cpuset is part of the affinity. Of the quotas of the process's own cgroup and of those above
    it, the least counts: a container usually sees its own cgroup as the root, a systemd service
    stands somewhere below it.

    Args:
        cgroup_root: where the cgroup file system is mounted (an argument for the tests).
        membership: the file that names the process's cgroups.

    Returns:
        At least 1. A quota of a part of a core counts as one core.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = affinity or 1
    quotas = [
        quota
        for folder in _cgroups(cgroup_root, membership)
        for quota in (_quota_v2(folder), _quota_v1(folder))
        if quota is not None
    ]
    return max(1, min(cores, math.floor(min(quotas, default=cores))))


def _cgroups(root: Path, membership: Path) -> Iterator[Path]:
    """Give the folders that may hold a quota on this process, the roots first."""
    yield root
    yield root / "cpu"
    try:
        lines = membership.read_text().splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, place = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 1 mounts each set of controllers in a folder named after them.
        for top in {root / controllers, root / "cpu"} if controllers else {root}:
            yield top
            folder = top
            for part in PurePosixPath(place).parts:
                if part not in ("/", ".."):
                    folder = folder / part
                    yield folder


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
