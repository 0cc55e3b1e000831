"""The sections on the engines: our own beside every other; zeros among weights; memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.tables import Body, facts, interval, mega, table, times

__all__ = ["render_engines", "render_memory", "render_sparse"]


def render_engines(results: Body) -> list[str]:
    """Give the section on engines in turn.

    Args:
        results: shape, level and threads → what `benchmarks.engines` stored.
    """
    parts = [facts(results)]
    for body in results.values():
        parts += [_title(body), _milliseconds(body["workloads"]), _ratios(body["workloads"])]
    return parts


def render_sparse(results: Body) -> list[str]:
    """Give the section on zeros among the weights.

    Args:
        results: level and threads → what `benchmarks.sparse` stored.
    """
    parts = [facts(results)]
    for body in results.values():
        said = body["engines"]["native int8"].partition(", ")[2]
        parts += [_title(body, f": it {said}."), _milliseconds(body["workloads"])]
        parts.append(_ratios(body["workloads"]))
    return parts


def render_memory(results: Body) -> list[str]:
    """Give the section on memory.

    Args:
        results: shape → what `benchmarks.memory` stored.
    """
    parts = [facts(results)]
    for body in results.values():
        file = body["weight_file_bytes"]
        kinds = (
            ("Python, before the model is opened", body["alone"]["without_model"]),
            ("the engine alone, after 8 batches of 32 texts", body["alone"]["with_model"]),
            ("`thinfer serve`, after its first answer", body["serve"]["with_model"]),
        )
        rows = [
            (
                name,
                mega(max(item["peak_rss"] for item in found)),
                "" if not found[0]["weights_rss"] else _over(found, file),
                mega(sum(item["rss"] for item in found)),
                mega(sum(item["pss"] for item in found)),
                mega(sum(item["weights_rss"] for item in found)),
                mega(sum(item["weights_pss"] for item in found)),
            )
            for name, found in kinds
        ]
        head = (
            "one process", "peak RSS", "less the weight file", f"{body['processes']} × RSS",
            "Pss of all", "weight file in RSS", "in Pss",
        )  # fmt: skip
        parts.append(f"### {body['shape']}, INT8, a weight file of {mega(file)}\n")
        parts.append(table(head, rows))
    return parts


def _over(found: list[Body], file: int) -> str:
    return mega(max(item["peak_rss"] for item in found) - file)


def _title(body: Body, more: str = ".") -> str:
    threads = "1 thread" if body["ran_with"] == 1 else f"{body['ran_with']} threads"
    level = "the machine's own instructions" if body["level"] == "own" else body["level"]
    ran_as = body["engines"]["native int8"].split()[1].rstrip(",")
    return f"### {body['shape']}, {level}, {threads}\n\n`native` ran as `{ran_as}`{more}\n"


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
