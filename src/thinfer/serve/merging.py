"""Counters of several processes as one page: sums, but for the few series that are facts."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["merge_pages"]

# A fact is the same in every process, or means the latest or the first of them.
_HIGHEST = (
    "thinfer_version_info",
    "thinfer_split_share",
    "thinfer_cascade_breaker",
    "thinfer_drift_psi",  # of the process that is furthest off; indices cannot be added
    "thinfer_golden_confidence",
    "thinfer_floor_e_value",  # each process watches its own part; the strongest one stops
    "python_info",
    "process_max_fds",
)
_LOWEST = ("process_start_time_seconds",)


def merge_pages(pages: Iterable[str]) -> str:
    """Add up pages of the Prometheus text form, series by series.

    Args:
        pages: of the processes of one service; a series may be missing on some.

    Returns:
        One page, families in the order of their first appearance.
    """
    comments: dict[str, list[str]] = {}
    series: dict[str, dict[str, float]] = {}  # family → line without the value → value
    for page in pages:
        family = ""
        for line in page.splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                family = line.split(" ", 3)[2]
                held = comments.setdefault(family, [])
                if line not in held:
                    held.append(line)
            elif line and not line.startswith("#"):
                name, _, raw = line.rpartition(" ")
                found, value = series.setdefault(family, {}), float(raw)
                found[name] = _join(name, found[name], value) if name in found else value
    lines = []
    for family, held in comments.items():
        lines += held
        lines += [f"{name} {value!r}" for name, value in series.get(family, {}).items()]
    return "\n".join(lines) + "\n"


def _join(name: str, one: float, other: float) -> float:
    base = name.partition("{")[0]
    if base in _HIGHEST:
        return max(one, other)
    if base in _LOWEST or base.endswith("_created"):
        return min(one, other)
    return one + other
