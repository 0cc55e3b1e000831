from __future__ import annotations

import os
from pathlib import Path

import pytest

from thinfer.core.cores import usable_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def cores_of(root: Path, membership: str = "0::/\n") -> int:
    place = root / "membership"
    place.write_text(membership)
    return usable_cores(root, place)


def limit_v2(folder: Path, limit: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(limit)


def limit_v1(folder: Path, quota: str, period: str = "100000") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu.cfs_period_us").write_text(period)


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("max 100000", 8),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("9900000 100000", 8),
        ("100000 0", 8),
        ("", 8),
        ("nonsense", 8),
    ],
)
def test_the_quota_of_the_second_cgroup_version(tmp_path: Path, limit: str, cores: int) -> None:
    limit_v2(tmp_path, limit)
    assert cores_of(tmp_path) == cores


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("-1", 8), ("50000", 1), ("100000", 1), ("200000", 2), ("300000", 3), ("1000", 1)],
)
@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
def test_the_quota_of_the_first_cgroup_version(
    tmp_path: Path, folder: str, quota: str, cores: int
) -> None:
    limit_v1(tmp_path / folder, quota)
    assert cores_of(tmp_path, f"5:memory:/\n4:{folder}:/\n") == cores


def test_a_service_below_the_root_obeys_its_own_quota(tmp_path: Path) -> None:
    limit_v2(tmp_path / "system.slice/thinfer.service", "200000 100000")
    limit_v2(tmp_path / "user.slice", "100000 100000")  # somebody else's
    assert cores_of(tmp_path) == 8
    assert cores_of(tmp_path, "0::/system.slice/thinfer.service\n") == 2


def test_the_least_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    limit_v2(tmp_path / "a", "300000 100000")
    limit_v2(tmp_path / "a/b", "max 100000")
    assert cores_of(tmp_path, "0::/a/b\n") == 3
    limit_v2(tmp_path / "a/b", "100000 100000")
    assert cores_of(tmp_path, "0::/a/b\n") == 1


def test_a_container_that_sees_the_hosts_path_reads_its_own_root(tmp_path: Path) -> None:
    limit_v1(tmp_path / "cpu", "200000")
    assert cores_of(tmp_path, "4:cpu,cpuacct:/docker/0123\n") == 2
    limit_v2(tmp_path, "100000 100000")
    assert cores_of(tmp_path, "0::/../..\n") == 1


def test_a_cpuset_is_seen_in_the_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert cores_of(tmp_path) == 2
    limit_v2(tmp_path, "400000 100000")
    assert cores_of(tmp_path) == 2


def test_without_a_quota_affinity_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores(tmp_path, tmp_path / "gone") == 8
    assert cores_of(tmp_path, "nonsense\n\n") == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path, tmp_path / "gone") == 1
