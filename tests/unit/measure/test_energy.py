from __future__ import annotations

from pathlib import Path

import pytest

from thinfer.measure.energy import measure_energy


def write_zone(root: Path, zone: str, name: str, microjoules: int) -> Path:
    folder = root / zone
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text("1000000\n")
    return folder / "energy_uj"


def test_packages_are_added_and_a_turned_counter_is_corrected(tmp_path: Path) -> None:
    first = write_zone(tmp_path, "intel-rapl:0", "package-0", 100)
    second = write_zone(tmp_path, "intel-rapl:1", "package-1", 900_000)
    core = write_zone(tmp_path, "intel-rapl:0:0", "core", 5)

    def call() -> None:
        first.write_text("600100")
        second.write_text("100000")
        core.write_text("999999")

    found = measure_energy(call, root=tmp_path)
    assert found.status == "measured"
    assert found.joules == pytest.approx(0.6 + 0.2)


def test_without_counters_energy_is_absent_and_the_call_still_runs(tmp_path: Path) -> None:
    ran: list[int] = []
    found = measure_energy(lambda: ran.append(1), root=tmp_path / "absent")
    assert (found.status, found.joules) == ("absent", None)
    assert found.reason is not None
    assert ran == [1]


def test_counters_that_cannot_be_read_are_absent(tmp_path: Path) -> None:
    counter = write_zone(tmp_path, "intel-rapl:0", "package-0", 1)
    counter.write_text("not a number")
    assert measure_energy(lambda: None, root=tmp_path).status == "absent"
    counter.unlink()
    assert measure_energy(lambda: None, root=tmp_path).status == "absent"
