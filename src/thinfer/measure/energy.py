"""Energy of a call, where the machine lets us read its counters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

__all__ = ["Energy", "measure_energy"]

_ROOT = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy of one call.

    Attributes:
        status: `measured` by the processor's own counters, or `absent`; never estimated.
        joules: of all processor packages, whatever ran on them; absent with `absent`.
        reason: why it is absent.
    """

    KIND: ClassVar[str] = "thinfer.energy"
    VERSION: ClassVar[int] = 1

    status: Literal["measured", "absent"]
    joules: float | None = None
    reason: str | None = None


def measure_energy(call: Callable[[], object], *, root: Path = _ROOT) -> Energy:
    """Run a call and read the packages' energy counters around it.

    A counter that runs over is corrected once: a call must be shorter than a full turn, which
    is a minute or more.

    Args:
        call: what is measured; it runs in any case.
        root: where the kernel shows the counters (an argument for the tests).

    Returns:
        The joules, or why there are none.
    """
    before = _read_counters(root)
    call()
    after = _read_counters(root)
    if not before or before.keys() != after.keys():
        return Energy(status="absent", reason=f"no readable energy counter under {root}")
    total = 0
    for zone, start in before.items():
        used = after[zone] - start
        total += used if used >= 0 else used + _read_number(zone / "max_energy_range_uj")
    return Energy(status="measured", joules=total / 1e6)


def _read_counters(root: Path) -> dict[Path, int]:
    """Give microjoules of each package zone; its subzones (cores, memory) are part of it.

    AMD processors show theirs under the same name.
    """
    found = {}
    try:
        for zone in sorted(root.glob("intel-rapl:*")):
            if (zone / "name").read_text().strip().startswith("package"):
                found[zone] = _read_number(zone / "energy_uj")
    except (OSError, ValueError):
        return {}  # since 2020 kernels let only root read it
    return found


def _read_number(path: Path) -> int:
    return int(path.read_text())
