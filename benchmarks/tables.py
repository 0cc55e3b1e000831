"""Pieces of the page of results: tables, numbers, and the line of machine facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["Body", "facts", "interval", "mega", "number", "percent", "table", "times"]

Body = Mapping[str, Any]

_TRIAL = "**A trial on {limit} rows of each part: not a result.**"


def facts(results: Body) -> str:
    """One line a machine, with the names of its results where there are several processors.

    A warning where a result is a trial.
    """
    lines: dict[str, list[str]] = {}
    for key, body in results.items():
        lines.setdefault(_line(body), []).append(key)
        if body.get("limit"):
            lines.setdefault(_TRIAL.format(limit=body["limit"]), [])
    is_one = len({body["machine"]["cpu"] for body in results.values()}) == 1
    parts = [
        line if is_one or not keys else f"{_names(keys)}: {line}" for line, keys in lines.items()
    ]
    return "\n\n".join(parts) + "\n"


def _line(body: Body) -> str:
    machine = body["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    return (
        f"{machine['cpu']} ({', '.join(machine['flags'])}), {machine['cores']} of "
        f"{machine['cores_of_host']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"{machine['system']}, Python {machine['python']}; {body['threads']} threads; "
        f"{libraries}."
    )


def _names(keys: Sequence[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_escape, line))} |" for line in lines) + "\n"


def _escape(cell: str) -> str:
    return str(cell).replace("|", "\\|").replace("\n", " ")


def percent(value: float | None) -> str:
    """Give a share as a percentage; nothing for None."""
    return "" if value is None else f"{value:.2%}"


def times(value: float) -> str:
    """Give a factor."""
    return f"{value:.2f}"


def interval(pair: Sequence[float] | None, *, digits: int = 2) -> str:
    """Give both ends; nothing for None."""
    return "" if not pair else f"{pair[0]:.{digits}f} … {pair[1]:.{digits}f}"


def mega(value: float | None) -> str:
    """Give bytes as megabytes; nothing for None."""
    return "" if value is None else f"{value / 1e6:,.1f} MB"


def number(value: float | None) -> str:
    """Give a count or a small number; nothing for None."""
    return "" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
