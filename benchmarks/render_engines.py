"""The section on the engines: our own beside every other, on the same weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.tables import Body, facts, interval, table, times

__all__ = ["render_engines"]


def render_engines(results: Body) -> list[str]:
    """Give the section on engines in turn.

    Args:
        results: shape, level and threads → what `benchmarks.engines` stored.
    """
    parts = [facts(results)]
    for body in results.values():
        threads = "1 thread" if body["ran_with"] == 1 else f"{body['ran_with']} threads"
        level = "the machine's own instructions" if body["level"] == "own" else body["level"]
        parts.append(f"### {body['shape']}, {level}, {threads}\n")
        parts.append(f"`native` ran as `{body['engines']['native int8'].split()[-1]}`.\n")
        parts += [_milliseconds(body["workloads"]), _ratios(body["workloads"])]
    return parts


def _milliseconds(workloads: Mapping[str, Any]) -> str:
    names = list(next(iter(workloads.values())))
    rows = [(name, *(_shown(body[name]) for body in workloads.values())) for name in names]
    return table(("milliseconds, median", *workloads), rows)


def _shown(row: Body) -> str:
    return f"{row['ms']:.2f}{' ?' if row['is_disturbed'] else ''}"


def _ratios(workloads: Mapping[str, Any]) -> str:
    names = [name for name, row in next(iter(workloads.values())).items() if row["native_over"]]
    rows = []
    for name in names:
        found = [body[name]["native_over"] for body in workloads.values()]
        mean = math.exp(sum(math.log(each["ratio"]) for each in found) / len(found))
        cells = [
            f"{times(each['ratio'])} ({interval((each['low'], each['high']))})" for each in found
        ]
        rows.append((name, *cells, times(mean)))
    return table(("native int8 is × faster than", *workloads, "geometric mean"), rows)
