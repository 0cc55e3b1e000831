"""The sections on the engines: our own beside every other; zeros among weights; memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.tables import Body, facts, interval, mega, percent, table, times

__all__ = [
    "render_engines",
    "render_fourbit",
    "render_memory",
    "render_roofline",
    "render_sparse",
]


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
        zeros = f" Zero are {body['zeros']}." if "zeros" in body else ""
        parts += [_title(body, f": it {said}.{zeros}"), _milliseconds(body["workloads"])]
        parts.append(_ratios(body["workloads"]))
    return parts


def render_fourbit(results: Body) -> list[str]:
    """Give the section on weights of 4 bits.

    Args:
        results: set → what `benchmarks.fourbit` stored.
    """
    rows = [
        (
            key,
            name,
            f"{form['share_of_weights']:.0%}",
            f"{percent(body['accuracy'])} → {percent(form['accuracy'])}",
            percent(form["agreement"]),
        )
        for key, body in results.items()
        for name, form in body["forms"].items()
    ]
    head = ("set", "weights", "of all matrices", "accuracy", "same answers as FP32")
    return [facts(results), table(head, rows)]


def render_roofline(results: Body) -> list[str]:
    """Give the section on the steps of the native engine.

    Args:
        results: shape → what `benchmarks.roofline` stored.
    """
    parts = [facts(results)]
    for body in results.values():
        peak, reads = body["peak_macs_per_second"], body["bytes_per_second"]
        parts.append(
            f"`{body['isa']}`, one thread: {peak / 1e12:.2f} TMAC/s of INT8 in registers, "
            f"{reads / 1e9:.1f} GB/s read from memory.\n"
        )
        for name, steps in body["workloads"].items():
            parts += [f"### {body['shape']}, {name}\n", _steps(steps, peak)]
    return parts


def _steps(steps: Mapping[str, Any], peak: float) -> str:
    rows = [_step(name, row) for name, row in steps.items()]
    total = {
        key: sum(row[key] or 0.0 for row in steps.values())
        for key in ("seconds", "macs", "weight_bytes", "arithmetic_s", "reading_s")
    }
    if peak:
        rows.append(_step("**all**", total))
    head = (
        "step, all layers", "GMAC", "weights", "ms", "arithmetic limit, ms", "reading limit, ms",
        "share of the nearer limit",
    )  # fmt: skip
    return table(head, rows)


def _step(name: str, row: Body) -> tuple[str, ...]:
    limit = max(row["arithmetic_s"] or 0.0, row["reading_s"])
    return (
        name,
        f"{row['macs'] / 1e9:.3f}" if row["macs"] else "",
        mega(row["weight_bytes"]) if row["weight_bytes"] else "",
        f"{1000 * row['seconds']:.3f}",
        f"{1000 * row['arithmetic_s']:.3f}" if row["macs"] and row["arithmetic_s"] else "",
        f"{1000 * row['reading_s']:.3f}" if row["weight_bytes"] else "",
        percent(limit / row["seconds"]) if limit else "",
    )


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
